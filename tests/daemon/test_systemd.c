/* What systemd and its journal get, by a journal and a notification socket of the test's own.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/log.h"
#include "daemon/systemd.h"

#define FIRST_FD 3 /* of those that systemd passes */

/* ---- the journal: the linker puts this in its place ---- */

static struct {
    int entries, fails;
    char text[65536]; /* of the newest entry, one field a line */
} journal;

int __wrap_sd_journal_sendv_with_location(const char *file, const char *line, const char *function,
                                          const struct iovec *iov, int n);
int __wrap_sd_journal_sendv_with_location(const char *file, const char *line, const char *function,
                                          const struct iovec *iov, int n)
{
    if (journal.fails)
        return -EPIPE;
    journal.entries++;
    size_t at = 0;
    for (int i = 0; i < n; i++)
        at += (size_t)snprintf(journal.text + at, sizeof journal.text - at, "%.*s\n",
                               (int)iov[i].iov_len, (char *)iov[i].iov_base);
    return 0;
}

struct stderr_file {
    int fd, before;
    FILE *file;
};

/* Standard error is a file, which JOURNAL_STREAM says to be the journal's. */
static void begin(struct stderr_file *f, const char *stream)
{
    struct stat st;
    char text[64];
    journal.entries = journal.fails = 0;
    f->file = tmpfile();
    assert_non_null(f->file);
    fflush(stderr);
    f->before = dup(STDERR_FILENO);
    assert_true(f->before >= 0 && dup2(fileno(f->file), STDERR_FILENO) >= 0);
    assert_return_code(fstat(STDERR_FILENO, &st), 0);
    snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream ? stream : text, 1);
    at_log_init("debug", 0, NULL);
}

/* What went to standard error meanwhile. */
static void end(struct stderr_file *f, char *text, size_t n)
{
    fflush(stderr);
    dup2(f->before, STDERR_FILENO);
    close(f->before);
    rewind(f->file);
    text[fread(text, 1, n - 1, f->file)] = 0;
    fclose(f->file);
    unsetenv("JOURNAL_STREAM");
}

static void an_entry_has_the_line_and_each_field(void **state)
{
    struct stderr_file f;
    char text[4096];
    begin(&f, NULL);
    at_log(AT_LOG_WARN, AT_FIELDS({"radio", "roof"}, {"nothing", NULL}, {"emission", "b-roof-7"}),
           "lost %d\n\x1b[31m\x7f of it\xc2\x9b", 3);
    assert_string_equal(journal.text,
                        "MESSAGE=lost 3\\x0a\\x1b[31m\\x7f of it\\xc2\\x9b\nPRIORITY=4\n"
                        "SYSLOG_IDENTIFIER=attuned\nRADIO=roof\nEMISSION_ID=b-roof-7\n");
    at_log(AT_LOG_DEBUG, NULL, "alone");
    assert_string_equal(journal.text, "MESSAGE=alone\nPRIORITY=7\nSYSLOG_IDENTIFIER=attuned\n");
    at_log(AT_LOG_ERROR,
           AT_FIELDS({"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}, {"e", "5"}, {"f", "6"},
                     {"g", "7"}, {"h", "8"}, {"i", "9"}, {"j", "10"}),
           "many");
    assert_non_null(strstr(journal.text, "PRIORITY=3\n"));
    assert_non_null(strstr(journal.text, "\nI=9\n")); /* twelve in all, no more */
    assert_null(strstr(journal.text, "\nJ="));
    end(&f, text, sizeof text);
    assert_int_equal(journal.entries, 3);
    assert_string_equal(text, "");
}

static void what_the_journal_does_not_take_goes_to_stderr(void **state)
{
    struct stderr_file f;
    char text[16384], *big = malloc(9000);
    assert_non_null(big);
    memset(big, 'x', 8999);
    big[8999] = 0;
    begin(&f, NULL);
    journal.fails = 1;
    at_log(AT_LOG_INFO, AT_FIELDS({"radio", "roof"}), "first");
    journal.fails = 0;
    at_log(AT_LOG_INFO, AT_FIELDS({"radio", big}), "second");
    at_log(AT_LOG_INFO, NULL, "third");
    end(&f, text, sizeof text);
    assert_string_equal(text, "first\nsecond\n");
    assert_int_equal(journal.entries, 1);
    free(big);
}

static void what_was_left_out_is_counted(void **state)
{
    struct stderr_file f;
    char text[4096];
    begin(&f, NULL);
    for (int i = 0; i < AT_LOG_BURST + 30; i++)
        at_log(AT_LOG_INFO, NULL, "again %d", i);
    end(&f, text, sizeof text);
    assert_int_equal(journal.entries, AT_LOG_BURST);
    assert_string_equal(text, "");
}

static void another_stream_is_no_journal(void **state)
{
    static const char *const streams[] = {"", "x", "1", "1:2", "9999999999:1"};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        struct stderr_file f;
        char text[4096];
        begin(&f, streams[i]);
        at_log(AT_LOG_INFO, NULL, "here");
        end(&f, text, sizeof text);
        assert_int_equal(journal.entries, 0);
        assert_non_null(
            strstr(text, "Z info    here\n")); /* with time and level, which a journal has */
    }
}

/* ---- sockets ---- */

static int take(int n, struct at_error *err)
{
    char pid[32], count[8];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    snprintf(count, sizeof count, "%d", n);
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", count, 1);
    return at_systemd_take_listener(err);
}

static int listener(bool listens)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (listens)
        assert_return_code(listen(fd, 1), 0);
    return fd;
}

static void only_one_listening_socket_is_taken(void **state)
{
    struct at_error err = {""};
    int kept = fcntl(FIRST_FD, F_DUPFD_CLOEXEC, 10), fd;
    assert_int_equal(at_systemd_take_listener(&err), 0); /* started by hand */
    fd = listener(true);
    assert_true(dup2(fd, FIRST_FD) == FIRST_FD);
    assert_int_equal(take(1, &err), FIRST_FD);
    assert_null(getenv("LISTEN_FDS")); /* helpers must not think that it is theirs */
    assert_true(fd == FIRST_FD + 1 || dup2(fd, FIRST_FD + 1) >= 0);
    assert_int_equal(take(2, &err), -EINVAL);
    assert_non_null(strstr(err.text, "passes 2 sockets"));
    close(fd);
    fd = listener(false);
    assert_true(dup2(fd, FIRST_FD) == FIRST_FD);
    assert_int_equal(take(1, &err), -EINVAL);
    assert_non_null(strstr(err.text, "no listening stream socket"));
    close(fd);
    close(FIRST_FD);
    if (kept >= 0) {
        dup2(kept, FIRST_FD);
        close(kept);
    }
}

static void expect(int fd, const char *text)
{
    char got[256] = "";
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    assert_true(n > 0);
    if (strncmp(got, text, strlen(text)) != 0)
        fail_msg("%s instead of %s", got, text);
}

static void what_systemd_is_told(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char name[64];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(name, sizeof name, "attune-test-%d", (int)getpid());
    memcpy(a.sun_path + 1, name, strlen(name)); /* an abstract one: "@name" */
    assert_return_code(bind(fd, (struct sockaddr *)&a,
                            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))),
                       0);
    char path[80];
    snprintf(path, sizeof path, "@%s", name);
    setenv("NOTIFY_SOCKET", path, 1);
    at_systemd_ready();
    expect(fd, "READY=1");
    at_systemd_status("2 radios");
    expect(fd, "STATUS=2 radios");
    at_systemd_feed();
    expect(fd, "WATCHDOG=1");
    at_systemd_reloading();
    expect(fd, "RELOADING=1\nMONOTONIC_USEC=");
    at_systemd_stopping();
    expect(fd, "STOPPING=1");
    unsetenv("NOTIFY_SOCKET");
    close(fd);
    assert_int_equal(at_systemd_watchdog_ns(), 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(at_systemd_watchdog_ns(),
                     15 * AT_NS_PER_S); /* fed twice as often as it asks */
    unsetenv("WATCHDOG_USEC");
}

int main(void)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    unsetenv("LISTEN_FDS");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_has_the_line_and_each_field),
        cmocka_unit_test(what_the_journal_does_not_take_goes_to_stderr),
        cmocka_unit_test(what_was_left_out_is_counted),
        cmocka_unit_test(another_stream_is_no_journal),
        cmocka_unit_test(only_one_listening_socket_is_taken),
        cmocka_unit_test(what_systemd_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
