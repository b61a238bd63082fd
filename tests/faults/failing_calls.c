/* Preloaded into attune or attuned: counts what the program itself asks of the system, and makes
 * one call fail. Calls that the libraries make for themselves are let through (some of them abort
 * by design, FFTW for one).
 *
 *   ATTUNE_FAIL=malloc:17         the 17th allocation of the program returns NULL with ENOMEM
 *   ATTUNE_FAIL_IN=libsqlite3     not the program's own calls but those of the libraries so named
 *   ATTUNE_FAIL_HELPER=MARK       not in the daemon but in the first radio helper that makes the
 *                                 file MARK: the next life goes without a fault
 *   ATTUNE_FAIL_REPORT=report.txt at exit: calls of each kind, blocks that nobody freed, who
 *                                 allocated them; of a radio helper in report.txt.helper
 *
 * SPDX-License-Identifier: GPL-3.0-or-later */
#undef _FILE_OFFSET_BITS /* open and open64 are two names here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER ((uintptr_t)__builtin_return_address(0))

enum kind { MALLOC, MMAP, OPEN, WRITE, FSYNC, RENAME, THREAD, FORK, SOCKET, EVENTFD, MEMFD, KINDS };
static const char *const kind_names[KINDS] = {
    "malloc",         "mmap", "open",   "write",   "fsync", "rename",
    "pthread_create", "fork", "socket", "eventfd", "memfd",
};
static const int kind_errno[KINDS] = {ENOMEM, ENOMEM, EMFILE, ENOSPC, EIO,   ENOSPC,
                                      EAGAIN, EAGAIN, EMFILE, EMFILE, ENOMEM};

struct range {
    uintptr_t lo, hi, base;
};
enum { N_LIBRARIES = 8 };
static struct range program, libraries[N_LIBRARIES];
static size_t n_libraries;
static int is_helper, is_silent; /* silent: a life of the helper without a fault */
static _Atomic uint64_t calls[KINDS];
static int fail_kind = -1;
static uint64_t fail_at;
static _Atomic uintptr_t failed_caller;
static pid_t owner;

/* ---- blocks of the program that are alive: open addressing, removed entries stay as tombstones
 * ---- */
enum { N_SLOTS = 1 << 20 };
static struct {
    uintptr_t block, caller;
    size_t bytes;
} slots[N_SLOTS];
static atomic_flag slots_lock = ATOMIC_FLAG_INIT;

static size_t slot_of(uintptr_t block)
{
    return (size_t)((block >> 4) * 0x9E3779B97F4A7C15ULL >> 44);
}

static void remember(void *block, size_t bytes, uintptr_t caller)
{
    if (!block)
        return;
    while (atomic_flag_test_and_set(&slots_lock)) {
    }
    size_t at = slot_of((uintptr_t)block);
    for (size_t tries = 0; tries < N_SLOTS && slots[at].block > 1; tries++)
        at = (at + 1) % N_SLOTS;
    slots[at].block = (uintptr_t)block, slots[at].caller = caller, slots[at].bytes = bytes;
    atomic_flag_clear(&slots_lock);
}

static void forget(void *block)
{
    if (!block)
        return;
    while (atomic_flag_test_and_set(&slots_lock)) {
    }
    size_t at = slot_of((uintptr_t)block);
    for (size_t tries = 0; tries < N_SLOTS && slots[at].block; tries++, at = (at + 1) % N_SLOTS)
        if (slots[at].block == (uintptr_t)block) {
            slots[at].block = 1;
            break;
        }
    atomic_flag_clear(&slots_lock);
}

/* ---- who calls, and whether this is the one ---- */
static int find_object(struct dl_phdr_info *info, size_t size, void *first)
{
    (void)size;
    const char *in = getenv("ATTUNE_FAIL_IN"), *slash = strrchr(info->dlpi_name, '/');
    const char *name = slash ? slash + 1 : info->dlpi_name;
    struct range r = {.base = info->dlpi_addr};
    int is_program = *(int *)first, wanted = 0;
    *(int *)first = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
            continue;
        r.lo = info->dlpi_addr + p->p_vaddr;
        r.hi = r.lo + p->p_memsz;
    }
    for (const char *at = in; !is_program && at && *at;) { /* NAME,NAME: what files begin with */
        size_t n = strcspn(at, ",");
        wanted |= n && strncmp(name, at, n) == 0;
        at += n + (at[n] == ',');
    }
    if (is_program)
        program = r;
    else if (wanted && n_libraries < N_LIBRARIES)
        libraries[n_libraries++] = r;
    return 0;
}

static int ours(uintptr_t caller)
{
    return caller >= program.lo && caller < program.hi;
}

static int may_fail(uintptr_t caller)
{
    for (size_t i = 0; i < n_libraries; i++)
        if (caller >= libraries[i].lo && caller < libraries[i].hi)
            return 1;
    return !n_libraries && ours(caller);
}

static int fails(enum kind kind, uintptr_t caller)
{
    if (!may_fail(caller))
        return 0;
    uint64_t n = atomic_fetch_add(&calls[kind], 1) + 1;
    if ((int)kind != fail_kind || n != fail_at)
        return 0;
    failed_caller = caller;
    errno = kind_errno[kind];
    return 1;
}

static void *(*real_malloc)(size_t), *(*real_calloc)(size_t, size_t),
    *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);

/* dlsym itself may ask for memory before the real calloc is known. */
static char early[4096];
static size_t early_used;

static void *early_alloc(size_t bytes)
{
    size_t at = (early_used + 15) & ~(size_t)15;
    if (at + bytes > sizeof(early))
        return NULL;
    early_used = at + bytes;
    return early + at;
}

static int is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

static void *next(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    if (!f)
        abort();
    return f;
}

/* Constructors of the libraries may ask for memory before ours has run. */
static void resolve(void)
{
    static int busy;
    if (real_malloc || busy)
        return;
    busy = 1;
    void *(*found)(size_t) = (void *(*)(size_t))next("malloc");
    real_calloc = (void *(*)(size_t, size_t))next("calloc");
    real_realloc = (void *(*)(void *, size_t))next("realloc");
    real_free = (void (*)(void *))next("free");
    real_posix_memalign = (int (*)(void **, size_t, size_t))next("posix_memalign");
    real_aligned_alloc = (void *(*)(size_t, size_t))next("aligned_alloc");
    real_malloc = found; /* last: from here on all of them are there */
}

/* Whether this process is the one that shall fail: the daemon, or the first life of a helper. */
static int is_struck(void)
{
    const char *mark = getenv("ATTUNE_FAIL_HELPER");
    char words[256] = {0};
    int fd = openat(AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, words, sizeof words - 1);
    if (fd >= 0)
        close(fd);
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(words + i) + 1)
        is_helper |= strcmp(words + i, "--radio-helper") == 0;
    if (!is_helper || !mark)
        return !is_helper && !mark;
    fd = openat(AT_FDCWD, mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    is_silent = fd < 0;
    return fd >= 0;
}

__attribute__((constructor)) static void begin(void)
{
    resolve();
    int first = 1;
    dl_iterate_phdr(find_object, &first);
    owner = getpid();
    const char *what = is_struck() ? getenv("ATTUNE_FAIL") : NULL;
    const char *colon = what ? strchr(what, ':') : NULL;
    for (int k = 0; colon && k < KINDS; k++)
        if (strlen(kind_names[k]) == (size_t)(colon - what) &&
            strncmp(what, kind_names[k], (size_t)(colon - what)) == 0) {
            fail_at = strtoull(colon + 1, NULL, 10);
            fail_kind = k;
        }
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("ATTUNE_FAIL_REPORT");
    char text[8192], own[4096];
    if (!path || is_silent || getpid() != owner || strlen(path) > sizeof own - 16)
        return;
    strcat(strcpy(own, path), is_helper ? ".helper" : "");
    size_t n = 0, live = 0;
    for (int k = 0; k < KINDS; k++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %llu\n", kind_names[k],
                              (unsigned long long)calls[k]);
    Dl_info at = {0};
    uintptr_t failed = failed_caller;
    if (failed && dladdr((void *)failed, &at))
        failed -= (uintptr_t)at.dli_fbase;
    n += (size_t)snprintf(text + n, sizeof(text) - n, "failed %s %#llx\n",
                          at.dli_fname ? at.dli_fname : "-", (unsigned long long)failed);
    for (size_t i = 0; i < N_SLOTS; i++) {
        if (slots[i].block <= 1)
            continue;
        if (live++ < 16)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "leak %zu bytes from %#llx\n",
                                  slots[i].bytes,
                                  (unsigned long long)(slots[i].caller - program.base));
    }
    n += (size_t)snprintf(text + n, sizeof(text) - n, "live %zu\n", live);
    int fd = openat(AT_FDCWD, own, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (write(fd, text, n) < 0)
        return;
    close(fd);
}

/* ---- memory ---- */
EXPORT void *malloc(size_t bytes)
{
    resolve();
    if (!real_malloc)
        return early_alloc(bytes);
    if (fails(MALLOC, CALLER))
        return NULL;
    void *p = real_malloc(bytes);
    if (ours(CALLER))
        remember(p, bytes, CALLER);
    return p;
}

EXPORT void *calloc(size_t n, size_t bytes)
{
    resolve();
    if (!real_malloc)
        return early_alloc(n * bytes); /* static: zero */
    if (fails(MALLOC, CALLER))
        return NULL;
    void *p = real_calloc(n, bytes);
    if (ours(CALLER))
        remember(p, n * bytes, CALLER);
    return p;
}

EXPORT void *realloc(void *old, size_t bytes)
{
    resolve();
    if (fails(MALLOC, CALLER))
        return NULL;
    if (!is_early(old))
        forget(old);
    void *p;
    if (is_early(old)) {
        p = real_malloc(bytes);
        if (p)
            memcpy(p, old, bytes < 256 ? bytes : 256);
    } else {
        p = real_realloc(old, bytes);
    }
    if (ours(CALLER))
        remember(p, bytes, CALLER);
    return p;
}

EXPORT int posix_memalign(void **ret, size_t align, size_t bytes)
{
    resolve();
    if (fails(MALLOC, CALLER))
        return ENOMEM;
    int r = real_posix_memalign(ret, align, bytes);
    if (r == 0 && ours(CALLER))
        remember(*ret, bytes, CALLER);
    return r;
}

EXPORT void *aligned_alloc(size_t align, size_t bytes)
{
    resolve();
    if (fails(MALLOC, CALLER))
        return NULL;
    void *p = real_aligned_alloc(align, bytes);
    if (ours(CALLER))
        remember(p, bytes, CALLER);
    return p;
}

EXPORT char *strdup(const char *s)
{
    resolve();
    if (fails(MALLOC, CALLER))
        return NULL;
    size_t n = strlen(s) + 1;
    char *p = (char *)real_malloc(n);
    if (p)
        memcpy(p, s, n);
    if (ours(CALLER))
        remember(p, n, CALLER);
    return p;
}

EXPORT char *strndup(const char *s, size_t max)
{
    resolve();
    if (fails(MALLOC, CALLER))
        return NULL;
    size_t n = strnlen(s, max);
    char *p = (char *)real_malloc(n + 1);
    if (p)
        memcpy(p, s, n), p[n] = 0;
    if (ours(CALLER))
        remember(p, n + 1, CALLER);
    return p;
}

EXPORT void free(void *p)
{
    if (is_early(p) || !real_free)
        return;
    forget(p);
    real_free(p);
}

/* ---- the rest: NAME, kind, result on failure, and the real call ---- */
#define WRAP(type, name, kind, bad, params, args)                                                  \
    EXPORT type name params                                                                        \
    {                                                                                              \
        static type(*_Atomic real) params;                                                         \
        if (!real)                                                                                 \
            real = (type(*) params)next(#name);                                                    \
        return fails(kind, CALLER) ? bad : real args;                                              \
    }
WRAP(void *, mmap, MMAP, MAP_FAILED, (void *at, size_t n, int prot, int flags, int fd, off_t off),
     (at, n, prot, flags, fd, off))
WRAP(void *, mmap64, MMAP, MAP_FAILED,
     (void *at, size_t n, int prot, int flags, int fd, off64_t off), (at, n, prot, flags, fd, off))
WRAP(FILE *, fopen, OPEN, NULL, (const char *path, const char *mode), (path, mode))
WRAP(FILE *, fopen64, OPEN, NULL, (const char *path, const char *mode), (path, mode))
WRAP(ssize_t, write, WRITE, -1, (int fd, const void *data, size_t n), (fd, data, n))
WRAP(size_t, fwrite, WRITE, 0, (const void *data, size_t size, size_t n, FILE *f),
     (data, size, n, f))
WRAP(ssize_t, pwrite, WRITE, -1, (int fd, const void *data, size_t n, off_t at), (fd, data, n, at))
WRAP(ssize_t, pwrite64, WRITE, -1, (int fd, const void *data, size_t n, off64_t at),
     (fd, data, n, at))
WRAP(int, ftruncate, WRITE, -1, (int fd, off_t n), (fd, n))
WRAP(int, ftruncate64, WRITE, -1, (int fd, off64_t n), (fd, n))
WRAP(int, fflush, WRITE, EOF, (FILE * f), (f))
WRAP(int, fsync, FSYNC, -1, (int fd), (fd))
WRAP(int, fdatasync, FSYNC, -1, (int fd), (fd))
WRAP(int, rename, RENAME, -1, (const char *from, const char *to), (from, to))
WRAP(int, pthread_create, THREAD, EAGAIN,
     (pthread_t * t, const pthread_attr_t *a, void *(*f)(void *), void *ctx), (t, a, f, ctx))
WRAP(pid_t, fork, FORK, -1, (void), ())
WRAP(int, socket, SOCKET, -1, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, posix_spawn, FORK, EAGAIN,
     (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
      const posix_spawnattr_t *attr, char *const argv[], char *const env[]),
     (pid, path, actions, attr, argv, env))
WRAP(int, socketpair, SOCKET, -1, (int domain, int type, int protocol, int fds[2]),
     (domain, type, protocol, fds))
WRAP(int, pipe2, SOCKET, -1, (int fds[2], int flags), (fds, flags))
WRAP(int, epoll_create1, EVENTFD, -1, (int flags), (flags))
WRAP(int, signalfd, EVENTFD, -1, (int fd, const sigset_t *set, int flags), (fd, set, flags))
WRAP(int, eventfd, EVENTFD, -1, (unsigned value, int flags), (value, flags))
WRAP(int, memfd_create, MEMFD, -1, (const char *name, unsigned flags), (name, flags))

#define WRAP_OPEN(name)                                                                            \
    EXPORT int name(const char *path, int flags, ...)                                              \
    {                                                                                              \
        static int (*_Atomic real)(const char *, int, ...);                                        \
        if (!real)                                                                                 \
            real = (int (*)(const char *, int, ...))next(#name);                                   \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;                      \
        va_end(ap);                                                                                \
        return fails(OPEN, CALLER) ? -1 : real(path, flags, mode);                                 \
    }
WRAP_OPEN(open)
WRAP_OPEN(open64)
