/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/pages.h"
#include "lib/source/recording.h"

#define ABOVE        16 /* descriptors on their way stand above those that the helper is born with */
#define LOG_CHUNK    4096
#define LOG_MAX      65536
#define KILL_WAIT_MS 1000

extern char **environ;

int at_process_init(struct at_process *p, size_t ring_bytes, struct at_error *err)
{
    *p = (struct at_process){.socket = -1, .log = -1, .memory = -1};
    p->size = AT_PAGE_SIZE + (ring_bytes ? at_iq_ring_size(ring_bytes) : 0);
    int fd = memfd_create("attune-radio", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return at_error_set(err, -errno, "no shared memory: %s", strerror(errno));
    int r = 0;
    if (ftruncate(fd, (off_t)p->size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        r = -errno;
    void *memory = r ? NULL : at_pages_map(fd, p->size);
    if (!memory) {
        r = r ? r : -errno;
        close(fd);
        return at_error_set(err, r, "no shared memory: %s", strerror(-r));
    }
    at_pages_bring(memory, p->size);
    p->page = memory;
    p->page->magic = AT_PAGE_MAGIC;
    p->page->orders.parent = getpid();
    p->page->orders.ring_bytes = ring_bytes;
    p->memory = fd;
    return 0;
}

void *at_process_ring(const struct at_process *p)
{
    return (char *)p->page + AT_PAGE_SIZE;
}

int at_process_put_folders(struct at_radio_orders *o, const char *const *folders)
{
    char *to = o->modules, *end = o->modules + sizeof o->modules - 1;
    for (size_t i = 0; folders && folders[i]; i++) {
        size_t n = strlen(folders[i]) + 1;
        if (n > (size_t)(end - to))
            return -E2BIG;
        memcpy(to, folders[i], n);
        to += n;
    }
    *to = 0;
    return 0;
}

/* ---- starting ---- */

/* Descriptors for the helper, each above ABOVE, so that placing one does not tread on another. */
struct ends {
    int socket, memory, log;
};

static int lift(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, ABOVE);
    if (fd >= 0)
        close(fd);
    return high;
}

static int make_ends(struct at_process *p, struct ends *e)
{
    int pair[2] = {-1, -1}, pipe_[2] = {-1, -1};
    e->memory = lift(p->memory);
    p->memory = -1;
    bool made = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 &&
                pipe2(pipe_, O_CLOEXEC) == 0;
    p->socket = pair[0];
    p->log = pipe_[0];
    e->socket = lift(pair[1]);
    e->log = lift(pipe_[1]);
    if (!made || e->memory < 0 || e->socket < 0 || e->log < 0)
        return errno ? -errno : -EMFILE;
    fcntl(p->log, F_SETFL, O_NONBLOCK);
    return 0;
}

static int place(posix_spawn_file_actions_t *a, const struct ends *e)
{
    int r = posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDONLY, 0);
    r = r ? r : posix_spawn_file_actions_adddup2(a, e->log, 1);
    r = r ? r : posix_spawn_file_actions_adddup2(a, e->log, 2);
    r = r ? r : posix_spawn_file_actions_adddup2(a, e->socket, AT_HELPER_SOCKET);
    return r ? r : posix_spawn_file_actions_adddup2(a, e->memory, AT_HELPER_MEMORY);
}

/* What is the daemon's alone stays with it. */
static char **environment(void)
{
    static const char *const own[] = {"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_",
                                      "CREDENTIALS_DIRECTORY="};
    size_t n = 0, k = 0;
    while (environ && environ[n])
        n++;
    char **list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++) {
        bool mine = false;
        for (size_t j = 0; j < sizeof own / sizeof *own; j++)
            mine = mine || strncmp(environ[i], own[j], strlen(own[j])) == 0;
        if (!mine)
            list[k++] = environ[i];
    }
    return list;
}

/* By its path where that still is the program (so that wrappers such as valgrind see it), else by
 * the link, which holds on to a program that was replaced by an upgrade. */
static const char *own_program(char *out, size_t n)
{
    ssize_t got = readlink("/proc/self/exe", out, n - 1);
    if (got > 0) {
        out[got] = 0;
        if (access(out, X_OK) == 0)
            return out;
    }
    return "/proc/self/exe";
}

static int spawn(struct at_process *p, const struct ends *e, const char *name)
{
    char path[4096], title[64];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    char **env = environment();
    if (!env)
        return -ENOMEM;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int r = place(&actions, e);
    const char *program = own_program(path, sizeof path);
    const char *slash = strrchr(path, '/');
    char own[64], flag[] = "--radio-helper";
    snprintf(own, sizeof own, "%.60s", program == path && slash ? slash + 1 : "attuned");
    snprintf(title, sizeof title, "%.60s", name);
    char *argv[] = {own, flag, title, NULL};
    if (r == 0)
        r = posix_spawn(&p->pid, program, &actions, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    free(env);
    if (r != 0)
        p->pid = 0;
    return -r;
}

int at_process_start(struct at_process *p, const char *name, struct at_error *err)
{
    struct ends e;
    int r = make_ends(p, &e);
    if (r == 0)
        r = spawn(p, &e, name);
    if (e.memory >= 0)
        close(e.memory);
    if (e.socket >= 0)
        close(e.socket);
    if (e.log >= 0)
        close(e.log);
    return r < 0 ? at_error_set(err, r, "no helper process: %s", strerror(-r)) : 0;
}

/* ---- speaking ---- */

static void clean(char *text, size_t n)
{
    text[n - 1] = 0;
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

int at_process_receive(struct at_process *p, struct at_helper_message *ret)
{
    ssize_t n;
    do
        n = recv(p->socket, ret, sizeof *ret, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n != (ssize_t)sizeof *ret)
        return -EPIPE;
    clean(ret->label, sizeof ret->label);
    clean(ret->hardware, sizeof ret->hardware);
    clean(ret->text, sizeof ret->text);
    return 1;
}

int at_process_send(struct at_process *p, const struct at_helper_message *m)
{
    ssize_t n = send(p->socket, m, sizeof *m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n != (ssize_t)sizeof *m)
        return -EAGAIN;
    atomic_store(&p->page->mail, 1);
    return 0;
}

static void end_line(struct at_process *p, void (*line)(void *ctx, const char *text), void *ctx)
{
    p->line[p->n_line] = 0;
    clean(p->line, sizeof p->line);
    if (p->n_line && line)
        line(ctx, p->line);
    p->n_line = 0;
}

bool at_process_read_log(struct at_process *p, void (*line)(void *ctx, const char *text), void *ctx)
{
    char chunk[LOG_CHUNK];
    for (size_t total = 0; p->log >= 0 && total < LOG_MAX;) {
        ssize_t n = read(p->log, chunk, sizeof chunk);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        total += (size_t)n;
        for (ssize_t i = 0; i < n; i++) {
            if (chunk[i] == '\n' || p->n_line == sizeof p->line - 1)
                end_line(p, line, ctx);
            if (chunk[i] != '\n')
                p->line[p->n_line++] = chunk[i] ? chunk[i] : ' ';
        }
        if (n == 0) {
            end_line(p, line, ctx);
            return false;
        }
    }
    return true;
}

/* ---- ending ---- */

bool at_process_ended(struct at_process *p)
{
    if (p->pid == 0)
        return true;
    int status = 0;
    pid_t got = waitpid(p->pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return false;
    p->status = got == p->pid ? status : 0;
    p->pid = 0;
    return true;
}

void at_process_kill(struct at_process *p)
{
    if (at_process_ended(p))
        return;
    kill(p->pid, SIGKILL);
    for (int i = 0; i < KILL_WAIT_MS && !at_process_ended(p); i++)
        usleep(1000);
    p->pid = 0; /* one that hangs inside the kernel is left to it */
}

const char *at_process_fate(const struct at_process *p, char *out, size_t n)
{
    if (WIFSIGNALED(p->status) && WTERMSIG(p->status) == SIGKILL)
        snprintf(out, n, "was killed");
    else if (WIFSIGNALED(p->status))
        snprintf(out, n, "crashed (SIG%s)", sigabbrev_np(WTERMSIG(p->status)));
    else if (WEXITSTATUS(p->status))
        snprintf(out, n, "ended with code %d", WEXITSTATUS(p->status));
    else
        snprintf(out, n, "ended");
    return out;
}

void at_process_close(struct at_process *p)
{
    at_process_kill(p);
    if (p->socket >= 0)
        close(p->socket);
    if (p->log >= 0)
        close(p->log);
    if (p->memory >= 0)
        close(p->memory);
    p->socket = p->log = p->memory = -1;
}

void at_process_unmap(struct at_process *p)
{
    if (p->page)
        munmap(p->page, p->size);
    p->page = NULL;
}
