/* Preloaded into one process of ours: something goes wrong at one moment of it.
 *
 * DISTURB_FILE  end of the path of a journal
 * DISTURB_AT    the moment: `line:N` of that journal, `text:T` in a line of it, or `child:N`, the N-th command started
 * DISTURB_HOW   torn    killed with half of that line written        after   killed with the line written
 *               full    from then on no file can be written          clock:S from then on the clock is S seconds off
 *               child:P:M  the next command is run as `P M command…`
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *how = "", *at = "", *file = "";
static int lines, children, armed, full;
static long offset_s;
static __thread int replaced;

__attribute__((constructor)) static void start(void)
{
    if (getenv("DISTURB_HOW"))
        how = getenv("DISTURB_HOW");
    if (getenv("DISTURB_AT"))
        at = getenv("DISTURB_AT");
    if (getenv("DISTURB_FILE"))
        file = getenv("DISTURB_FILE");
}

static int starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static int is_journal(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path), tail = strlen(file);
    return tail > 0 && length > tail && memcmp(path + length - tail, file, tail) == 0;
}

static void go_wrong(int fd, const void *bytes, size_t count)
{
    if (!strcmp(how, "torn") || !strcmp(how, "after")) {
        if (fd >= 0)
            syscall(SYS_write, fd, bytes, strcmp(how, "torn") ? count : count / 2);
        kill(getpid(), SIGKILL);
    } else if (!strcmp(how, "full")) {
        full = 1;
    } else if (starts(how, "clock:")) {
        offset_s = atol(how + 6);
    } else {
        armed = 1;
    }
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    struct stat status;
    if (*file && is_journal(fd)) {
        int number = __atomic_add_fetch(&lines, 1, __ATOMIC_SEQ_CST);
        int now = starts(at, "line:") ? number == atoi(at + 5)
                                      : starts(at, "text:") && memmem(bytes, count, at + 5, strlen(at + 5));
        if (now)
            go_wrong(fd, bytes, count);
    }
    if (full && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, count);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME)
        time->tv_sec += offset_s;
    return result;
}

/* Whether the command that is about to start is the one. */
static int this_child(void)
{
    int number = __atomic_add_fetch(&children, 1, __ATOMIC_SEQ_CST);
    if (starts(at, "child:") && number == atoi(at + 6))
        go_wrong(-1, NULL, 0);
    return __atomic_exchange_n(&armed, 0, __ATOMIC_SEQ_CST);
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
    pid_t (*real)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
    int mine = this_child();
    pid_t pid = real();
    if (pid == 0)
        replaced = mine;
    return pid;
}

int execvp(const char *path, char *const argv[])
{
    int (*real)(const char *, char *const[]) = (int (*)(const char *, char *const[]))dlsym(RTLD_NEXT, "execvp");
    char program[4096], mode[32];
    if (!replaced)
        return real(path, argv);
    split(program, mode);
    return real(program, instead(argv, program, mode));
}

typedef int (*spawner)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                       char *const[], char *const[]);

int posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const env[])
{
    spawner real = (spawner)dlsym(RTLD_NEXT, "posix_spawnp");
    char program[4096], mode[32];
    if (!this_child())
        return real(pid, path, actions, attributes, argv, env);
    split(program, mode);
    return real(pid, program, actions, attributes, instead(argv, program, mode), env);
}
