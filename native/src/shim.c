// The parent that a workload needs when its agent comes and goes: owns the workload's stdout and stderr, writes them to a rotating log,
// reaps, and leaves the exit code in a file. Three processes: the front one is the command that the caller waits for; it ends when the
// workload is launched, and nothing of the caller is held open after it. The back one stays until the workload's init has ended, and its
// parent stands by for the case that it is killed. SIGKILL of the front one before the launch (a caller's deadline) kills everything that was started.
//
// Who stands by has the same table of descriptors (CLONE_FILES) and the same state (a shared page), so the pipes are never without a reader: without one the
// workload's next line would end it (SIGPIPE). The init of a worker that was killed becomes the child of its parent, exit code included.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "init.h"
#include "logfile.h"
#include "memory/outlive.h"
#include "options.h"
#include "report.h"

enum { tail_max = 4096, drain_ms = 500, chunk_max = 65536 };

struct shim {
  const char *exit_file, *pid_file;
  struct logfile log;
  int out[2], err[2], own[2]; // own: COMMAND's own output where the workload's pipes have numbers of their own
  int front;                  // write end: one line and the exit code go to the front process
  int children;               // signalfd for SIGCHLD
  int partner;                // pidfd of who stands by; -1: nobody
  pid_t command;
  struct init init;
  int is_launched, is_over;
  long long pipe_base;
  char tail[tail_max];
  size_t tail_size;
};
static struct shim alone = {.out = {-1, -1}, .err = {-1, -1}, .own = {-1, -1}, .front = -1, .partner = -1};
static struct shim *shim = &alone; // a page that is shared, from when there are two of us

static void remember(const char *bytes, size_t length) {
  if (length > tail_max) bytes += length - tail_max, length = tail_max;
  size_t kept = shim->tail_size + length > tail_max ? tail_max - length : shim->tail_size;
  memmove(shim->tail, shim->tail + shim->tail_size - kept, kept);
  memcpy(shim->tail + kept, bytes, length);
  shim->tail_size = kept + length;
}

// Copies what is there. Closes and forgets the pipe at its end. Returns 1 when something was read.
static int copy(int *pipe_end, int is_logged, int is_remembered) {
  static char bytes[chunk_max];
  if (*pipe_end < 0) return 0;
  ssize_t got = read(*pipe_end, bytes, sizeof bytes);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got <= 0) {
    close(*pipe_end);
    *pipe_end = -1;
    return 0;
  }
  if (is_logged) logfile_append(&shim->log, bytes, (size_t)got);
  if (is_remembered) remember(bytes, (size_t)got);
  return 1;
}

static void copy_all(int is_launching) {
  copy(&shim->out[0], 1, 0);
  copy(&shim->err[0], 1, is_launching && shim->own[0] < 0);
  copy(&shim->own[0], 0, 1);
}

static void find_partner(void);

// Waits for output, a child's end, or (while launching) the front's death. Returns 0 when the front is gone.
static int wait_for_work(int timeout_ms, int is_launching, int extra) {
  struct pollfd at[7] = {{.fd = shim->out[0], .events = POLLIN}, {.fd = shim->err[0], .events = POLLIN}, {.fd = shim->own[0], .events = POLLIN},
                         {.fd = shim->children, .events = POLLIN}, {.fd = is_launching ? shim->front : -1}, {.fd = extra, .events = POLLIN},
                         {.fd = is_launching ? -1 : shim->partner, .events = POLLIN}};
  if (poll(at, 7, timeout_ms) < 0 && errno != EINTR) fail(errno, "shim: poll");
  if (at[6].revents & POLLIN) find_partner();
  struct signalfd_siginfo ignored;
  while (read(shim->children, &ignored, sizeof ignored) > 0) continue;
  return !(at[4].revents & (POLLERR | POLLHUP));
}

static void place_pipes(int out, int err, int base) {
  int first = fcntl(out, F_DUPFD, base + 2), second = fcntl(err, F_DUPFD, base + 2);
  if (first < 0 || second < 0 || dup2(first, base) < 0 || dup2(second, base + 1) < 0) fail(errno, "shim: descriptors %d and %d", base, base + 1);
  close(first);
  close(second);
}

static _Noreturn void become_command(char **command) {
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  if (shim->own[1] >= 0) place_pipes(shim->own[1], shim->own[1], STDOUT_FILENO);
  place_pipes(shim->out[1], shim->err[1], shim->pipe_base);
  execvp(command[0], command);
  int error = errno;
  dprintf(STDERR_FILENO, "aether-native shim: cannot run %s: %s\n", command[0], strerror(error));
  _exit(error == ENOENT ? 127 : 126);
}

static unsigned long long inode_of(int fd) {
  struct stat status;
  return fstat(fd, &status) < 0 ? 0 : (unsigned long long)status.st_ino;
}

static void report_launch(const char *event, int code, pid_t init, unsigned long long out_inode, unsigned long long err_inode) {
  static char escaped[tail_max * 6];
  size_t size = code == 0 ? 0 : json_escape(shim->tail, shim->tail_size, escaped, sizeof escaped);
  say(shim->front, "%c{\"event\":\"%s\",\"code\":%d,\"pid\":%d,\"shimPid\":%d,\"stdoutInode\":%llu,\"stderrInode\":%llu,\"stderr\":\"%.*s\"}",
      code, event, code, init, code == 0 ? getpid() : 0, out_inode, err_inode, (int)size, escaped);
}

// Runs COMMAND to its end. Returns its exit code, or -1 when the front process was killed meanwhile.
static int launch(char **command) {
  pid_t pid = fork();
  if (pid < 0) fail(errno, "shim: fork");
  if (pid == 0) become_command(command);
  shim->command = pid;
  close(shim->out[1]);
  close(shim->err[1]);
  if (shim->own[1] >= 0) close(shim->own[1]);
  close_inherited();
  if (chdir("/") < 0) fail(errno, "shim: /"); // a folder that is not held can be unmounted
  for (;;) {
    int status;
    // Only COMMAND is reaped here: the workload's init may have ended too, and its exit code must still be there when its pid is known.
    if (waitpid(pid, &status, WNOHANG) == pid) {
      for (int i = 0; i < 16; i++) copy_all(1); // what COMMAND wrote before it ended; a workload that writes for ever must not keep us here
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (!wait_for_work(-1, 1, -1)) {
      kill_descendants(pid);
      return -1;
    }
    copy_all(1);
  }
}

static void watch(struct init *init) {
  while (!init_has_ended(init)) {
    wait_for_work(init->pidfd < 0 ? 1000 : -1, 0, init->pidfd);
    copy_all(0);
  }
  // The rest of its output. Bounded: a stranger that holds a write end must not keep the exit code from its readers.
  long long end_ms = now_ms() + drain_ms;
  while ((shim->out[0] >= 0 || shim->err[0] >= 0) && now_ms() < end_ms) {
    wait_for_work((int)(end_ms - now_ms()) + 1, 0, -1);
    copy_all(0);
    init_has_ended(init);
  }
  init_write_exit(init, shim->exit_file);
}

static int pidfd_of(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static pid_t fork_sharing_descriptors(void) { return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0); }

// Who stands by ends too, instead of going on.
static _Noreturn void end(int code) {
  shim->is_over = 1;
  exit(code);
}

// From the launch to the workload's end.
static _Noreturn void keep(void) {
  // The caller's own standard error was kept for our errors while it could still read them. Let go before the front ends: a caller that
  // waits for the end of its pipes must not wait for us.
  dup2(STDIN_FILENO, STDERR_FILENO);
  if (shim->front >= 0) close(shim->front);
  shim->front = -1;
  protect_from_oom(); // only now: what was started before must not inherit it
  watch(&shim->init);
  end(0);
}

static _Noreturn void stand_by(int worker) {
  prctl(PR_SET_NAME, "aether-shim-2");
  struct pollfd at = {.fd = worker, .events = POLLIN};
  while (poll(&at, 1, -1) < 0 && errno == EINTR) continue;
  close(worker);
  if (shim->is_over) exit(0);
  if (!shim->is_launched) {
    kill_descendants(shim->command);
    exit(1);
  }
  prctl(PR_SET_NAME, "aether-shim");
  logfile_open(&shim->log, shim->log.path, shim->log.max_bytes); // it may have been killed while it changed files
  find_partner();
  keep();
}

// Who stood by has been killed, or has taken over: a child stands by from now on. To it the workload's init is a stranger, whose exit code it will not know.
static void find_partner(void) {
  if (shim->partner >= 0) close(shim->partner);
  int self = pidfd_of(getpid());
  pid_t pid = self < 0 ? -1 : fork_sharing_descriptors();
  if (pid == 0) stand_by(self);
  if (pid < 0 && self >= 0) close(self);
  shim->partner = pid < 0 ? -1 : pidfd_of(pid);
}

// From one process to two, before anything is started: returns in the child.
static void pair(void) {
  struct shim *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) fail(errno, "shim: mmap");
  *shared = *shim;
  shim = shared;
  shim->partner = pidfd_of(getpid());
  if (shim->partner < 0) return; // before Linux 5.3 nobody stands by
  pid_t worker = fork_sharing_descriptors();
  if (worker < 0) fail(errno, "shim: fork");
  if (worker == 0) return;
  int fd = pidfd_of(worker);
  if (fd < 0) fail(errno, "shim: pidfd_open");
  protect_from_oom();
  stand_by(fd);
}

static _Noreturn void back(char **command) {
  setsid();
  prctl(PR_SET_NAME, "aether-shim");
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) fail(errno, "shim: subreaper");
  const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2};
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, NULL);
  shim->children = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
  if (shim->children < 0) fail(errno, "shim: signalfd");
  pair();
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) fail(errno, "shim: subreaper"); // not inherited
  unsigned long long out_inode = inode_of(shim->out[0]), err_inode = inode_of(shim->err[0]);

  int code = launch(command);
  if (code < 0) end(1);
  if (code == 0 && init_read(&shim->init, shim->pid_file) < 0) {
    code = 1;
    char note[256];
    int size = snprintf(note, sizeof note, "aether-native shim: the command left no pid in %.200s\n", shim->pid_file);
    remember(note, (size_t)size < sizeof note ? (size_t)size : sizeof note - 1);
  }
  shim->is_launched = code == 0;
  report_launch(code == 0 ? "launched" : "failed", code, code == 0 ? shim->init.pid : 0, out_inode, err_inode);
  if (code != 0) end(1);
  keep();
}

// First byte: the exit code; the rest: the line for the caller.
static int front(int from_back, int status_fd) {
  static char bytes[32768];
  unsigned char code = 1;
  size_t size = 0;
  ssize_t got;
  while ((got = read(from_back, bytes + size, sizeof bytes - size)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(errno, "shim: reading the launch");
    size += (size_t)got;
  }
  if (size == 0) fail(0, "shim: ended before the launch");
  code = (unsigned char)bytes[0];
  if (write_all(status_fd, bytes + 1, size - 1) < 0 && errno != EPIPE) fail(errno, "shim: cannot write the launch");
  return code;
}

static void open_pipe(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC) < 0) fail(errno, "shim: pipe");
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) fail(errno, "shim: pipe");
}

int shim_command(int argc, char **argv) {
  const char *log = NULL;
  long long max_log_bytes = 0, status_fd = STDOUT_FILENO;
  shim->pipe_base = STDOUT_FILENO;
  const struct option_spec specs[] = {
      {.name = "log", .text = &log, .is_required = 1},
      {.name = "max-log-bytes", .number = &max_log_bytes, .min = chunk_max, .max = 1LL << 40, .is_required = 1},
      {.name = "exit-file", .text = &shim->exit_file, .is_required = 1},
      {.name = "pid-file", .text = &shim->pid_file, .is_required = 1},
      {.name = "status-fd", .number = &status_fd, .min = 1, .max = 1023},
      {.name = "pipe-fd-base", .number = &shim->pipe_base, .min = 3, .max = 1000},
  };
  int rest = parse_options("shim", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest >= argc) usage_error("shim: no command after --");
  if (*log != '/' || *shim->exit_file != '/' || *shim->pid_file != '/') usage_error("shim: --log, --exit-file and --pid-file must be absolute paths");
  if (fcntl(status_fd, F_GETFD) < 0) usage_error("shim: --status-fd %lld is not open", status_fd);

  note_inherited((int)status_fd);
  if (logfile_open(&shim->log, log, max_log_bytes) < 0) fail(errno, "shim: --log %s", log);
  if (unlink(shim->pid_file) < 0 && errno != ENOENT) fail(errno, "shim: --pid-file %s", shim->pid_file); // criu refuses one that exists
  if (unlink(shim->exit_file) < 0 && errno != ENOENT) fail(errno, "shim: --exit-file %s", shim->exit_file);
  open_pipe(shim->out);
  open_pipe(shim->err);
  if (shim->pipe_base != STDOUT_FILENO) open_pipe(shim->own);
  int line[2];
  if (pipe2(line, O_CLOEXEC) < 0) fail(errno, "shim: pipe");
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) fail(errno, "shim: /dev/null");

  pid_t pid = fork();
  if (pid < 0) fail(errno, "shim: fork");
  if (pid == 0) {
    shim->front = line[1];
    close(line[0]);
    if (status_fd > STDERR_FILENO) close((int)status_fd);
    dup2(nothing, STDIN_FILENO);
    dup2(nothing, STDOUT_FILENO);
    back(argv + rest);
  }
  int *ends[] = {&line[1], &shim->out[0], &shim->out[1], &shim->err[0], &shim->err[1], &shim->own[0], &shim->own[1], &shim->log.fd};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (*ends[i] >= 0) close(*ends[i]);
  close_inherited();
  return front(line[0], (int)status_fd);
}
