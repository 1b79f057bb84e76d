// A task that criu had run code of its own when it was killed: in the file that our criu kept (native/criu/0008) is what brings it back. The task waits for that
// in an endless loop or in a call that does not return, so the time that we take is its pause and not its end.
#include "orphan.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#define PTRACE_SETSIGMASK 0x420b
#endif

enum { has_text = 1, has_mask = 2, has_regs = 4, has_ext_regs = 8, piece = 8, stop_wait_ms = 2000 };

// As criu writes it: compel/include/orphan.h.
struct orphan {
  char magic[8];
  uint32_t has;
  int32_t pid, tid;
  uint32_t text_size;
  uint64_t text_at, map_at, map_size, own_mask, our_mask;
  uint32_t regs_size, ext_regs_type, ext_regs_size, unused;
  uint8_t text[32], our_text[32], regs[512], ext_regs[20480];
};

#if defined(__x86_64__)
enum { pointer_at = 16 * 8, pointer_at_32 = 12 * 4, size_32 = 17 * 4 };
#elif defined(__aarch64__)
enum { pointer_at = 32 * 8, pointer_at_32 = 15 * 4, size_32 = 18 * 4 };
#else
#error "orphan.c knows x86-64 and arm64"
#endif

static uint64_t instruction_pointer(const uint8_t *regs, size_t size) {
  uint64_t at = 0;
  uint32_t at_32 = 0;
  if (size == size_32) return memcpy(&at_32, regs + pointer_at_32, sizeof at_32), at_32;
  return memcpy(&at, regs + pointer_at, sizeof at), at;
}

static int is_ours(const struct orphan *o, uint64_t at) { return at - o->text_at < o->text_size || at - o->map_at < o->map_size; }

static void pause_1_ms(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

// A criu that is just ending may still hold it for a moment. 0, or -errno.
static int stop(pid_t tid) {
  int error = 0, status;
  for (int i = 0; i < stop_wait_ms; i++, pause_1_ms()) {
    error = ptrace(PTRACE_SEIZE, tid, 0, 0) < 0 ? -errno : 0;
    if (error != -EPERM) break;
  }
  if (error < 0) return error;
  if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0) return -errno;
  for (int i = 0; i < stop_wait_ms; i++, pause_1_ms()) {
    pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
    if (got < 0) return -errno;
    if (got == tid) return WIFSTOPPED(status) ? 0 : -ESRCH;
  }
  return -ETIMEDOUT;
}

// The stopped task goes on where it was before criu; what it did itself meanwhile stays. 1 when something was changed.
static int lead_back(const struct orphan *o) {
  uint8_t regs[sizeof o->regs];
  uint64_t mask = 0;
  struct iovec now = {regs, sizeof regs}, own = {(void *)o->regs, o->regs_size}, ext = {(void *)o->ext_regs, o->ext_regs_size};
  if (ptrace(PTRACE_GETREGSET, o->tid, NT_PRSTATUS, &now) < 0) return -errno;
  int is_in_ours = is_ours(o, instruction_pointer(regs, now.iov_len));
  if (is_in_ours && !(o->has & has_regs)) return 0; // it leads itself back
  if (is_in_ours) {
    if (now.iov_len != o->regs_size) return -EINVAL;
    if ((o->has & has_ext_regs) && ptrace(PTRACE_SETREGSET, o->tid, o->ext_regs_type, &ext) < 0) return -errno;
    if (ptrace(PTRACE_SETREGSET, o->tid, NT_PRSTATUS, &own) < 0) return -errno;
  }
  if (ptrace(PTRACE_GETSIGMASK, o->tid, sizeof mask, &mask) < 0) return -errno;
  if (!is_in_ours && mask != o->our_mask) return 0;
  mask = o->own_mask;
  return ptrace(PTRACE_SETSIGMASK, o->tid, sizeof mask, &mask) < 0 ? -errno : 1;
}

// Only what is still criu's is written over: the program may have changed its own since. The number of pieces written.
static int mend_text(const struct orphan *o) {
  char path[64];
  uint8_t found[sizeof o->text];
  int mended = 0;
  snprintf(path, sizeof path, "/proc/%d/mem", o->pid);
  int memory = open(path, O_RDWR | O_CLOEXEC);
  if (memory < 0) return -errno;
  if (pread(memory, found, o->text_size, (off_t)o->text_at) == (ssize_t)o->text_size)
    for (uint32_t at = 0; at + piece <= o->text_size; at += piece)
      if (memcmp(found + at, o->our_text + at, piece) == 0 && memcmp(o->text + at, o->our_text + at, piece) != 0)
        mended += pwrite(memory, o->text + at, piece, (off_t)(o->text_at + at)) == piece;
  close(memory);
  return mended;
}

static int is_thread_of(pid_t tid, pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task/%d", pid, tid);
  return access(path, F_OK) == 0;
}

static int is_listed(const char *procs, pid_t pid) {
  FILE *list = fopen(procs, "re");
  int each, is = 0;
  while (list && !is && fscanf(list, "%d", &each) == 1) is = each == pid;
  if (list) fclose(list);
  return is;
}

static int read_orphan(const char *path, struct orphan *o) {
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t got = file < 0 ? -1 : read(file, o, sizeof *o);
  if (file >= 0) close(file);
  return got == (ssize_t)sizeof *o && memcmp(o->magic, "orphan 1", sizeof o->magic) == 0 && o->text_size <= sizeof o->text &&
         o->regs_size <= sizeof o->regs && o->ext_regs_size <= sizeof o->ext_regs;
}

int mend_orphan(const char *path, const char *procs) {
  static struct orphan o;
  if (path == NULL || !read_orphan(path, &o) || o.has == 0 || !is_listed(procs, o.pid)) return 0;
  int mended = 0;
  if ((o.has & has_mask) && is_thread_of(o.tid, o.pid)) {
    mended = stop(o.tid);
    if (mended == 0) {
      mended = lead_back(&o);
      ptrace(PTRACE_DETACH, o.tid, 0, 0);
    }
  }
  int pieces = o.has & has_text ? mend_text(&o) : 0;
  if (mended < 0 && mended != -ESRCH) say(STDERR_FILENO, "{\"error\":\"a task of a killed criu cannot be brought back to its work\",\"errno\":%d}", -mended);
  return mended < 0 ? mended : mended | (pieces > 0);
}
