#include "huge.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// linux/mman.h, since Linux 6.1: at once, and whatever /sys/kernel/mm/transparent_hugepage says; no flag of the mapping is changed.
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

// Where memory is in small pieces the kernel puts it together first: what takes so long is a failure, and after so many nothing is tried any more.
enum { slow_ms = 20, most_failures = 8 };

void huge_begin(struct huge *huge, pid_t pid) {
  huge->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  huge->failures = 0;
}

void huge_end(struct huge *huge) {
  if (huge->pidfd >= 0) close(huge->pidfd);
  huge->pidfd = -1;
}

int huge_is_possible(const struct huge *huge) { return huge->pidfd >= 0 && huge->failures < most_failures; }

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int huge_make(struct huge *huge, uint64_t place) {
  struct iovec range = {(void *)place, HUGE_BYTES};
  int64_t before = now_ms();
  int is_made = syscall(SYS_process_madvise, huge->pidfd, &range, 1ul, MADV_COLLAPSE, 0u) == (long)HUGE_BYTES;
  huge->failures = is_made && now_ms() - before < slow_ms ? 0 : huge->failures + 1;
  return is_made;
}
