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
enum { slow_us = 20000, most_failures = 8 };
// To make one takes a tenth of a millisecond, and two to five where the hypervisor must find its memory; that is told by the first few.
enum { dear_us = 1000, told_by = 16 };

void huge_begin(struct huge *huge, pid_t pid) {
  huge->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  huge->failures = 0;
  huge->price = (struct huge_price){0};
}

void huge_end(struct huge *huge) {
  if (huge->pidfd >= 0) close(huge->pidfd);
  huge->pidfd = -1;
}

int huge_is_possible(const struct huge *huge) { return huge->pidfd >= 0 && huge->failures < most_failures; }

int64_t huge_clock_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void huge_paid(struct huge_price *price, int64_t took_us) {
  price->made++;
  price->us += took_us;
}

int huge_is_told(const struct huge_price *price) { return price->made >= told_by; }

int huge_is_dear(const struct huge_price *price) { return huge_is_told(price) && price->us > (int64_t)price->made * dear_us; }

int huge_make(struct huge *huge, uint64_t place) {
  struct iovec range = {(void *)place, HUGE_BYTES};
  int64_t before = huge_clock_us();
  int is_made = syscall(SYS_process_madvise, huge->pidfd, &range, 1ul, MADV_COLLAPSE, 0u) == (long)HUGE_BYTES;
  int64_t took = huge_clock_us() - before;
  if (is_made) huge_paid(&huge->price, took);
  huge->failures = is_made && took < slow_us ? 0 : huge->failures + 1;
  // Whoever pays with the time of the whole machine takes it slowly: the workload's clients are served by the same one.
  if (took > dear_us) usleep((useconds_t)took);
  return is_made;
}
