/* Preloaded into one process of ours: something goes wrong at one moment of it.
 *
 * DISTURB_AT    the moment:
 *   line:N, text:T   the N-th line, or a line with T in it, is written to the journal whose path ends with DISTURB_FILE
 *   start:N:GLOB     the N-th command of that name is started
 *   CALL:N:GLOB      the N-th such call is made on a path that matches: mkdir, create, read (it is opened), write, sync, rename
 * DISTURB_HOW   what goes wrong:
 *   torn    killed with half of the journal's line written       after    killed with the line written; or before the call
 *   full    from then on no file can be written                  clock:S  from then on the clock is S seconds off
 *   child:P:M      the next command, or the one that is started, is run as `P M command…`
 *   error   the call does nothing and fails                      lost     the call does its work and fails
 *   garbage the next bytes to or from a file of a backup are others
 *   term    somebody presses Ctrl-C
 *   stop:S  the process is stopped; when it wakes, its clock is S seconds ahead
 *   hurry:S from the start: the clocks are S seconds ahead, and each sleep of a second or more moves them on by S in no time
 *   proxy:PORT:F   the proxy with this control port is told to cause the fault F
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *how = "", *at = "", *file = "";
/* Shared with a child between its fork and its exec: only there is its name known. */
static struct shared {
    int lines, calls, armed, full, garble;
    long offset_s, monotonic_s;
} *now;
static pid_t self;
static __thread int replaced;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static struct shared *shared(void);
static int starts(const char *text, const char *with);

static void hurry(void)
{
    if (!starts(how, "hurry:"))
        return;
    shared()->offset_s += atol(how + 6);
    shared()->monotonic_s += atol(how + 6);
}

__attribute__((constructor)) static void start(void)
{
    if (getenv("DISTURB_HOW"))
        how = getenv("DISTURB_HOW");
    if (getenv("DISTURB_AT"))
        at = getenv("DISTURB_AT");
    if (getenv("DISTURB_FILE"))
        file = getenv("DISTURB_FILE");
    self = getpid();
    hurry();
}

/* Our calls come before our constructor where another library's constructor makes them. */
static struct shared *shared(void)
{
    if (!now)
        now = mmap(NULL, sizeof *now, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return now;
}

static int starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static const char *path_of(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return path;
}

static int is_journal(int fd)
{
    char path[PATH_MAX];
    ssize_t length = strlen(path_of(fd, path)), tail = strlen(file);
    return length > tail && !strcmp(path + length - tail, file);
}

/* The proxy has done it when it closes the connection. */
static void tell_proxy(const char *told)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(told))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const char *fault = strchr(told, ':') + 1;
    char end;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) || send(fd, fault, strlen(fault), 0) < 0)
        abort();
    shutdown(fd, SHUT_WR);
    while (recv(fd, &end, 1, 0) > 0)
        ;
    close(fd);
}

static void go_wrong(int fd, const void *bytes, size_t count)
{
    if (!strcmp(how, "torn") || !strcmp(how, "after")) {
        if (fd >= 0)
            syscall(SYS_write, fd, bytes, strcmp(how, "torn") ? count : count / 2);
        kill(self, SIGKILL);
    } else if (!strcmp(how, "full")) {
        shared()->full = 1;
    } else if (!strcmp(how, "garbage")) {
        shared()->garble = 1;
    } else if (!strcmp(how, "term")) {
        kill(self, SIGTERM);
    } else if (starts(how, "stop:")) {
        shared()->offset_s = atol(how + 5);
        kill(self, SIGSTOP);
    } else if (starts(how, "clock:")) {
        shared()->offset_s = atol(how + 6);
    } else if (starts(how, "proxy:")) {
        tell_proxy(how + 6);
    } else if (starts(how, "child:")) {
        shared()->armed = 1;
    }
}

/* Whether this is the moment; then it goes wrong. */
static int moment(const char *call, const char *path)
{
    size_t length = strlen(call);
    if (strncmp(at, call, length) || at[length] != ':')
        return 0;
    const char *number = at + length + 1, *glob = strchr(number, ':') + 1;
    if (fnmatch(glob, path, 0) || __atomic_add_fetch(&shared()->calls, 1, __ATOMIC_SEQ_CST) != atoi(number))
        return 0;
    go_wrong(-1, NULL, 0);
    return 1;
}

/* A call on a path: done or not, failed or not. */
#define DISTURBED(call, path, done)                                                                                    \
    do {                                                                                                               \
        int hit = moment(call, path);                                                                                  \
        if (hit && !strcmp(how, "error")) {                                                                            \
            errno = EIO;                                                                                               \
            return -1;                                                                                                 \
        }                                                                                                              \
        __typeof__(done) result = done;                                                                                \
        if (hit && !strcmp(how, "lost")) {                                                                             \
            errno = EIO;                                                                                               \
            return -1;                                                                                                 \
        }                                                                                                              \
        return result;                                                                                                 \
    } while (0)

/* Whether the bytes of this file are to be others now. */
static int garbled(int fd)
{
    char path[PATH_MAX];
    return shared()->garble && strstr(path_of(fd, path), "backup-") && __atomic_exchange_n(&shared()->garble, 0, __ATOMIC_SEQ_CST);
}

static ssize_t put(int fd, const void *bytes, size_t count)
{
    if (count == 0 || !garbled(fd))
        return syscall(SYS_write, fd, bytes, count);
    char *others = malloc(count);
    memcpy(others, bytes, count);
    others[count / 2] ^= 1;
    ssize_t written = syscall(SYS_write, fd, others, count);
    free(others);
    return written;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    struct stat status;
    char path[PATH_MAX];
    if (*file && is_journal(fd)) {
        int number = __atomic_add_fetch(&shared()->lines, 1, __ATOMIC_SEQ_CST);
        int hit = starts(at, "line:") ? number == atoi(at + 5)
                                      : starts(at, "text:") && memmem(bytes, count, at + 5, strlen(at + 5));
        if (hit)
            go_wrong(fd, bytes, count);
    }
    int regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (shared()->full && regular) {
        errno = ENOSPC;
        return -1;
    }
    if (!regular || !starts(at, "write:"))
        return put(fd, bytes, count);
    int already_full = shared()->full;
    int hit = moment("write", path_of(fd, path));
    if (hit && (shared()->full != already_full || !strcmp(how, "error"))) {
        errno = shared()->full ? ENOSPC : EIO;
        return -1;
    }
    ssize_t written = put(fd, bytes, count);
    if (hit && !strcmp(how, "lost")) {
        errno = EIO;
        return -1;
    }
    return written;
}

ssize_t read(int fd, void *bytes, size_t count)
{
    ssize_t got = syscall(SYS_read, fd, bytes, count);
    if (got > 0 && garbled(fd))
        ((char *)bytes)[got / 2] ^= 1;
    return got;
}

/* So that every byte of a copy passes through `write`. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t count, unsigned flags)
{
    (void)in, (void)in_at, (void)out, (void)out_at, (void)count, (void)flags;
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t count)
{
    (void)out, (void)in, (void)offset, (void)count;
    errno = ENOSYS;
    return -1;
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    DISTURBED(flags & O_CREAT ? "create" : "read", path, REAL(open64)(path, flags, mode));
}

int mkdir(const char *path, mode_t mode)
{
    int already_full = shared()->full;
    int hit = moment("mkdir", path);
    if (hit && (shared()->full != already_full || !strcmp(how, "error"))) {
        errno = shared()->full ? ENOSPC : EIO;
        return -1;
    }
    int result = REAL(mkdir)(path, mode);
    if (hit && !strcmp(how, "lost")) {
        errno = EIO;
        return -1;
    }
    return result;
}

int rename(const char *from, const char *to)
{
    DISTURBED("rename", from, REAL(rename)(from, to));
}

int fsync(int fd)
{
    char path[PATH_MAX];
    if (!starts(at, "sync:"))
        return REAL(fsync)(fd);
    DISTURBED("sync", path_of(fd, path), REAL(fsync)(fd));
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME)
        time->tv_sec += shared()->offset_s;
    if (clock == CLOCK_MONOTONIC)
        time->tv_sec += shared()->monotonic_s;
    return result;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
    if (!starts(how, "hurry:") || flags || time->tv_sec < 1)
        return REAL(clock_nanosleep)(clock, flags, time, left);
    hurry();
    return 0;
}

int nanosleep(const struct timespec *time, struct timespec *left)
{
    if (!starts(how, "hurry:") || time->tv_sec < 1)
        return REAL(nanosleep)(time, left);
    hurry();
    return 0;
}

/* Whether the command that is about to start is the one. */
static int this_child(void)
{
    return __atomic_exchange_n(&shared()->armed, 0, __ATOMIC_SEQ_CST);
}

/* `P M` before the command. */
static char **instead(char *const argv[], char *program, char *mode)
{
    size_t count = 0;
    while (argv[count])
        count++;
    char **changed = calloc(count + 3, sizeof *changed);
    changed[0] = program;
    changed[1] = mode;
    memcpy(changed + 2, argv, count * sizeof *argv);
    return changed;
}

static void split(char *program, char *mode)
{
    const char *colon = strrchr(how, ':');
    snprintf(program, colon - (how + 6) + 1, "%s", how + 6);
    snprintf(mode, 32, "%s", colon + 1);
}

pid_t fork(void)
{
    int mine = this_child();
    pid_t pid = REAL(fork)();
    if (pid == 0)
        replaced = mine;
    return pid;
}

int execvp(const char *path, char *const argv[])
{
    char program[PATH_MAX], mode[32];
    moment("start", path);
    if (!replaced && !this_child())
        return REAL(execvp)(path, argv);
    split(program, mode);
    return REAL(execvp)(program, instead(argv, program, mode));
}

int posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const env[])
{
    char program[PATH_MAX], mode[32];
    moment("start", path);
    if (!this_child())
        return REAL(posix_spawnp)(pid, path, actions, attributes, argv, env);
    split(program, mode);
    return REAL(posix_spawnp)(pid, program, actions, attributes, instead(argv, program, mode), env);
}
