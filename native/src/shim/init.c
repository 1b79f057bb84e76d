// An exit code is known only to a parent. Where the init is not our child (another process adopted it) its end is still seen through a
// pidfd, and the code is said to be unknown rather than guessed.
#include "shim/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

static int inherited[256];
static int inherited_count;

long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void pause_ms(int ms) { poll(NULL, 0, ms); }

int init_read(struct init *init, const char *pid_file) {
  *init = (struct init){.pidfd = -1, .code = -1};
  int fd = open(pid_file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  char text[32] = {0};
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  char *end;
  long pid = size > 0 ? strtol(text, &end, 10) : 0;
  if (pid <= 1 || pid > 1 << 22 || (*end != '\0' && *end != '\n')) return -1;
  init->pid = (pid_t)pid;
  init->pidfd = (int)syscall(SYS_pidfd_open, init->pid, 0);
  return 0;
}

int init_has_ended(struct init *init) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != init->pid || init->has_ended) continue;
    init->has_ended = 1;
    init->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    init->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  if (init->has_ended) return 1;
  if (init->pidfd >= 0) {
    struct pollfd at = {.fd = init->pidfd, .events = POLLIN};
    if (poll(&at, 1, 0) <= 0) return 0;
    // It has ended. Our own child would have been reaped above, or is about to be: its pidfd may be readable a moment before waitpid sees it.
    siginfo_t info;
    if (waitid(P_PID, (id_t)init->pid, &info, WEXITED | WNOWAIT) == 0) return init_has_ended(init);
    init->has_ended = 1;
    return 1;
  }
  if (kill(init->pid, 0) == 0 || errno != ESRCH) return 0;
  init->has_ended = 1;
  return 1;
}

static int write_file(const char *path, const char *text, size_t length) {
  char beside[4096];
  int size = snprintf(beside, sizeof beside, "%s.%d.new", path, getpid());
  if (size < 0 || (size_t)size >= sizeof beside) return errno = ENAMETOOLONG, -1;
  int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  int result = write_all(fd, text, length) == 0 && fsync(fd) == 0 ? 0 : -1;
  close(fd);
  if (result == 0 && rename(beside, path) == 0) return 0;
  int error = errno;
  unlink(beside);
  errno = error;
  return -1;
}

void init_write_exit(const struct init *init, const char *path) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  char text[128];
  int size = snprintf(text, sizeof text, "{\"exitCode\":%d,\"signal\":%d,\"atMs\":%lld}\n", init->code, init->signal,
                      now.tv_sec * 1000LL + now.tv_nsec / 1000000);
  for (int attempt = 0; write_file(path, text, (size_t)size) < 0; attempt++) {
    if (attempt == 60 || errno == ENOENT) exit(1); // ENOENT: the workload's folder was removed, nobody will ask
    pause_ms(1000);
  }
}

static void kill_children(void) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  text[size > 0 ? size : 0] = '\0';
  for (char *at = text, *end; *at; at = end) {
    long pid = strtol(at, &end, 10);
    if (end == at) break;
    if (pid > 1) kill((pid_t)pid, SIGKILL);
  }
}

void kill_descendants(pid_t command) {
  if (command > 1) kill(-command, SIGKILL);
  for (long long end_ms = now_ms() + 2000; now_ms() < end_ms;) {
    kill_children();
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD) return;
    pause_ms(5);
  }
}

void note_inherited(void) {
  DIR *folder = opendir("/proc/self/fd");
  if (!folder) fail(errno, "shim: /proc/self/fd");
  struct dirent *entry;
  while ((entry = readdir(folder)) && inherited_count < (int)(sizeof inherited / sizeof *inherited)) {
    int fd = atoi(entry->d_name);
    if (fd > STDERR_FILENO && fd != dirfd(folder)) inherited[inherited_count++] = fd;
  }
  closedir(folder);
}

void close_inherited(void) {
  for (int i = 0; i < inherited_count; i++) close(inherited[i]);
  inherited_count = 0;
}
