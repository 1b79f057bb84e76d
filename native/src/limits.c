#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory/fdpass.h"
#include "report.h"

int limits_are_hidden(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  if (syscall(SYS_capget, &header, data) < 0) return 1;
  return !(data[CAP_SYS_RESOURCE / 32].effective & (1u << CAP_SYS_RESOURCE % 32));
}

static uint64_t number(const char *text) {
  return strcmp(text, "unlimited") == 0 ? RLIM64_INFINITY : strtoull(text, NULL, 10);
}

// A heading, then a line a resource in the order of their numbers: a name of 25 characters, the soft and the hard limit.
static int read_limit(pid_t pid, unsigned resource, struct rlimit64 *limit) {
  char path[48], line[256], soft[32], hard[32];
  snprintf(path, sizeof path, "/proc/%d/limits", pid);
  FILE *file = fopen(path, "re");
  if (!file) return -errno;
  int error = -EINVAL;
  for (unsigned at = 0; fgets(line, sizeof line, file); at++) {
    if (at != resource + 1) continue;
    if (strlen(line) > 26 && sscanf(line + 26, "%31s %31s", soft, hard) == 2) {
      *limit = (struct rlimit64){.rlim_cur = number(soft), .rlim_max = number(hard)};
      error = 0;
    }
    break;
  }
  fclose(file);
  return error;
}

int limits_answer(int listener, const struct seccomp_notif *question, struct seccomp_notif_resp *answer) {
  if (question->data.nr != SYS_prlimit64) return 0;
  pid_t pid = (pid_t)question->data.args[0];
  unsigned resource = (unsigned)question->data.args[1];
  uint64_t change = question->data.args[2], to = question->data.args[3];
  *answer = (struct seccomp_notif_resp){.id = question->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  struct rlimit64 limit;
  // Its own limits, a change, and what the kernel lets us read as well are the kernel's affair.
  if (pid == 0 || pid == (pid_t)question->pid || change || !to || resource >= RLIM_NLIMITS) return 1;
  if (prlimit64(pid, (enum __rlimit_resource)resource, NULL, &limit) == 0 || errno != EPERM) return 1;
  int error = read_limit(pid, resource, &limit);
  struct iovec here = {&limit, sizeof limit}, there = {(void *)to, sizeof limit};
  // The asker may have been killed and its pid used again: writing must not hit a stranger.
  if (!error && ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &question->id) < 0) error = -EINTR;
  if (!error && process_vm_writev((pid_t)question->pid, &here, 1, &there, 1, 0) != sizeof limit) error = -EFAULT;
  answer->flags = 0;
  answer->error = error;
  return 1;
}

// Something is asked: 1. Nobody is left under the filter, or the command has ended: 0.
static int is_asked(int listener, pid_t command) {
  for (;;) {
    struct pollfd at = {.fd = listener, .events = POLLIN};
    int ready = poll(&at, 1, 1000); // kernels before 5.8 do not say when nobody is left: looked at each second
    if (ready > 0) return at.revents & POLLIN ? 1 : 0;
    siginfo_t ended = {0};
    if (waitid(P_PID, (id_t)command, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 || ended.si_pid != 0) return 0;
  }
}

static void answer_all(int listener, pid_t command) {
  struct seccomp_notif_sizes sizes;
  if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0) return;
  struct seccomp_notif *question = malloc(sizes.seccomp_notif + sizeof *question);
  struct seccomp_notif_resp *answer = malloc(sizes.seccomp_notif_resp + sizeof *answer);
  while (question && answer && is_asked(listener, command)) {
    memset(question, 0, sizes.seccomp_notif + sizeof *question);
    memset(answer, 0, sizes.seccomp_notif_resp + sizeof *answer);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, question) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    limits_answer(listener, question, answer);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, answer) < 0 && errno != ENOENT) break;
  }
  free(question);
  free(answer);
}

static int install(void) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {.len = sizeof program / sizeof *program, .filter = program};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
}

void limits_supervise(void) {
  int pair[2], number = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) fail(errno, "launch: --answer-limits");
  pid_t child = fork();
  if (child < 0) fail(errno, "launch: --answer-limits");
  if (child == 0) {
    int listener = install();
    if (listener < 0) fail(errno, "launch: --answer-limits: no filter");
    if (send_fd(pair[1], listener, 0) < 0 || read(pair[1], &number, sizeof number) != sizeof number) fail(EPIPE, "launch: --answer-limits");
    close(listener);
    close(pair[0]);
    close(pair[1]);
    return;
  }
  close(pair[1]);
  int listener = receive_fd(pair[0], &number);
  // What the command has open must not be held open by us: its readers wait for the end.
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 1 && nothing >= 0; fd++) dup2(nothing, fd);
  int kept = listener >= 0 ? fcntl(listener, F_DUPFD_CLOEXEC, 3) : -1, talk = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
  for (int fd = 3; fd < 1024; fd++)
    if (fd != kept && fd != talk) close(fd);
  if (kept >= 0 && write(talk, &number, sizeof number) == sizeof number) answer_all(kept, child);
  close(talk);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFSIGNALED(status)) {
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}
