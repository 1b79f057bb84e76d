// While the call is injected, the main thread's registers are not its own: whoever died there would leave it lost. So a child in a session of its own does it,
// which no signal to us or to our group reaches, and hands the descriptor over.
#include "attach.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fdpass.h"
#include "pagemap.h"

#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif

#if defined(__x86_64__)
typedef struct user_regs_struct registers_t;
static const unsigned char call_bytes[] = {0x0f, 0x05}; // syscall
static void set_call(registers_t *r, uint64_t at, long number, long argument) {
  r->rip = at, r->rax = (uint64_t)number, r->orig_rax = (uint64_t)-1; // -1: no system call to restart
  r->rdi = (uint64_t)argument, r->rsi = r->rdx = 0;
}
static long result_of(const registers_t *r) { return (long)r->rax; }
#elif defined(__aarch64__)
typedef struct user_regs_struct registers_t;
static const unsigned char call_bytes[] = {0x01, 0x00, 0x00, 0xd4}; // svc #0
static void set_call(registers_t *r, uint64_t at, long number, long argument) {
  r->pc = at, r->regs[8] = (uint64_t)number;
  r->regs[0] = (uint64_t)argument, r->regs[1] = r->regs[2] = 0;
}
static long result_of(const registers_t *r) { return (long)r->regs[0]; }
#else
#error "attach.c knows x86-64 and arm64"
#endif

static int get_registers(pid_t pid, registers_t *r) {
  struct iovec io = {r, sizeof *r};
  return (int)ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io);
}

static int set_registers(pid_t pid, registers_t *r) {
  struct iovec io = {r, sizeof *r};
  return (int)ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &io);
}

// Lets the stopped thread run up to its next stop; the wait status, or -1.
static int run_to_stop(pid_t pid, long request) {
  int status;
  if (ptrace(request, pid, 0, 0) < 0 || waitpid(pid, &status, __WALL) < 0 || !WIFSTOPPED(status)) return -1;
  return status;
}

// Makes one system call from the instruction at `at`: stops at its entry and at its exit. Its result, or -EIO.
static long inject(pid_t pid, const registers_t *saved, uint64_t at, long number, long argument) {
  registers_t r = *saved;
  set_call(&r, at, number, argument);
#if defined(__aarch64__)
  int none = -1; // no system call to restart
  struct iovec io = {&none, sizeof none};
  ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &io);
#endif
  if (set_registers(pid, &r) < 0) return -EIO;
  for (int i = 0; i < 2; i++) {
    int status = run_to_stop(pid, PTRACE_SYSCALL);
    if (status < 0 || WSTOPSIG(status) != (SIGTRAP | 0x80)) return -EIO;
  }
  return get_registers(pid, &r) < 0 ? -EIO : result_of(&r);
}

// The vDSO is in every process, readable and executable, and holds a system call instruction.
static uint64_t find_call(pid_t pid) {
  char path[64], line[512];
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  FILE *maps = fopen(path, "re");
  uint64_t start = 0, end = 0, found = 0;
  while (maps && fgets(line, sizeof line, maps))
    if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) != 2) start = end = 0;
  if (maps) fclose(maps);
  if (end <= start || end - start > 1 << 20) return 0;
  unsigned char *bytes = malloc(end - start);
  struct iovec here = {bytes, end - start}, there = {(void *)start, end - start};
  if (bytes && process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)(end - start))
    for (uint64_t i = 0; i + sizeof call_bytes <= end - start && !found; i++)
      if (memcmp(bytes + i, call_bytes, sizeof call_bytes) == 0) found = start + i;
  free(bytes);
  return found;
}

static int has_seccomp(pid_t pid) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *status = fopen(path, "re");
  int mode = 0;
  while (status && fgets(line, sizeof line, status))
    if (sscanf(line, "Seccomp: %d", &mode) == 1) break;
  if (status) fclose(status);
  return mode != 0;
}

// In the child. Returns the descriptor or a negative errno.
static int take(pid_t pid) {
  uint64_t at = find_call(pid), mask, all = ~0ull;
  int status, fd = -EIO;
  registers_t saved;
  // A filter of the process's own must not see (and perhaps punish) a call that it never made.
  long options = PTRACE_O_TRACESYSGOOD | (has_seccomp(pid) ? PTRACE_O_SUSPEND_SECCOMP : 0);
  if (!at) return -ENOENT;
  if (ptrace(PTRACE_SEIZE, pid, 0, options) < 0) return -errno;
  if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0 || waitpid(pid, &status, __WALL) < 0 || !WIFSTOPPED(status)) return -ESRCH;
  if (status >> 8 != (SIGTRAP | PTRACE_EVENT_STOP << 8)) {
    // It was about to take a signal, which it shall have, or is stopped by one. Later.
    ptrace(PTRACE_DETACH, pid, 0, status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status));
    return -EAGAIN;
  }
  // Signals wait, so that every stop below is the one that we asked for.
  if (get_registers(pid, &saved) < 0 || ptrace(PTRACE_GETSIGMASK, pid, sizeof mask, &mask) < 0 || ptrace(PTRACE_SETSIGMASK, pid, sizeof all, &all) < 0) {
    ptrace(PTRACE_DETACH, pid, 0, 0);
    return -EIO;
  }
  long made = inject(pid, &saved, at, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  if (made >= 0) {
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    fd = (int)syscall(SYS_pidfd_getfd, process, (int)made, 0);
    if (fd < 0) fd = -errno;
    close(process);
    inject(pid, &saved, at, SYS_close, made);
  } else {
    fd = (int)made;
  }
  // Back to a stop of the same kind as at first: only there does the kernel restart the system call that we broke into.
  if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0) run_to_stop(pid, PTRACE_CONT);
  set_registers(pid, &saved);
  ptrace(PTRACE_SETSIGMASK, pid, sizeof mask, &mask);
  ptrace(PTRACE_DETACH, pid, 0, 0);
  return fd;
}

static long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

int attach_uffd(pid_t pid, long *stopped_us, const char **reason) {
  int pair[2], error = EIO;
  *reason = "it could not be asked";
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -1;
  long began = now_us();
  pid_t child = fork();
  if (child == 0) {
    setsid();
    for (int s = 1; s < 32; s++) signal(s, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    int fd = take(pid);
    for (int i = 0; i < 20 && fd == -EAGAIN; i++) usleep(1000), fd = take(pid);
    send_fd(pair[1], fd < 0 ? -1 : fd, fd < 0 ? -fd : 0);
    _exit(0);
  }
  close(pair[1]);
  int fd = child < 0 ? -1 : receive_fd(pair[0], &error);
  close(pair[0]);
  if (child > 0) waitpid(child, NULL, 0);
  *stopped_us = now_us() - began;
  if (fd < 0) {
    *reason = strerror(error);
    return -1;
  }
  struct uffdio_api api = {.api = UFFD_API, .features = UFFD_WITH_WP_ASYNC | UFFD_WITH_WP_UNPOPULATED | UFFD_FEATURE_PAGEFAULT_FLAG_WP};
  if (ioctl(fd, UFFDIO_API, &api) < 0) {
    *reason = "this kernel's userfaultfd has no asynchronous write-protection (it needs Linux 6.7)";
    close(fd);
    return -1;
  }
  return fd;
}
