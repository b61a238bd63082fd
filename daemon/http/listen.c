/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool at_listen_is_loopback(const char *host)
{
    struct in_addr v4;
    if (!strcasecmp(host, "localhost") || !strcmp(host, "::1"))
        return true;
    return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

/* Port of a bound socket. */
static unsigned bound_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n))
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static int bind_and_listen(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 128)) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int at_listen_open(const char *host, uint16_t port, char *url, size_t n, struct at_error *err)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list;
    if (strcasecmp(host, "localhost"))
        hints.ai_flags |= AI_NUMERICHOST;
    else
        hints.ai_family = AF_INET;
    if (getaddrinfo(host, service, &hints, &list))
        return at_error_set(err, -EINVAL,
                            "http.listen: '%s' is no address; give one like 127.0.0.1:8650", host);
    int fd = bind_and_listen(list);
    freeaddrinfo(list);
    if (fd == -EADDRINUSE)
        return at_error_set(err, fd,
                            "http.listen: %s:%u is taken by another program; stop it (ss -ltnp "
                            "shows it) or set another "
                            "port in http.listen",
                            host, port);
    if (fd == -EADDRNOTAVAIL)
        return at_error_set(
            err, fd,
            "http.listen: %s is no address of this machine; ip address lists those that are", host);
    if (fd == -EACCES)
        return at_error_set(err, fd, "http.listen: port %u needs privileges; choose one above 1023",
                            port);
    if (fd < 0)
        return at_error_set(err, fd, "http.listen: cannot listen on %s:%u: %s", host, port,
                            strerror(-fd));
    bool v6 = strchr(host, ':');
    snprintf(url, n, v6 ? "http://[%s]:%u" : "http://%s:%u", host, bound_port(fd));
    return fd;
}

/* Numeric address and port of a bound socket, or its path. */
static int name_of(int fd, struct sockaddr_storage *a, char *host, size_t n)
{
    socklen_t size = sizeof *a;
    memset(a, 0, sizeof *a);
    if (getsockname(fd, (struct sockaddr *)a, &size))
        return -errno;
    if (a->ss_family == AF_UNIX) {
        snprintf(host, n, "%s", ((struct sockaddr_un *)a)->sun_path);
        return 0;
    }
    const void *address = a->ss_family == AF_INET6
                              ? (const void *)&((struct sockaddr_in6 *)a)->sin6_addr
                              : (const void *)&((struct sockaddr_in *)a)->sin_addr;
    return inet_ntop(a->ss_family, address, host, (socklen_t)n) ? 0 : -errno;
}

int at_listen_adopt(int fd, char *url, size_t n, struct at_error *err)
{
    struct sockaddr_storage a;
    char host[128];
    int flags = fcntl(fd, F_GETFL), rc = name_of(fd, &a, host, sizeof host);
    if (rc || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
        return at_error_set(err, rc ? rc : -errno, "http: the passed socket cannot be served: %s",
                            strerror(rc ? -rc : errno));
    if (a.ss_family == AF_UNIX)
        snprintf(url, n, "unix:%s", host);
    else
        snprintf(url, n, a.ss_family == AF_INET6 ? "http://[%s]:%u" : "http://%s:%u", host,
                 bound_port(fd));
    return fd;
}

bool at_listen_is_local(int fd)
{
    struct sockaddr_storage a;
    char host[128];
    return !name_of(fd, &a, host, sizeof host) &&
           (a.ss_family == AF_UNIX || at_listen_is_loopback(host));
}
