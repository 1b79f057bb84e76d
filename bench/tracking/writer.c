// writer MIB BYTES_PER_SECOND: holds so much private memory and writes to random pages of it at that rate, one page every so often; once a second
// the microseconds of processor time that it has used so far, and the pages that it has written.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#define PAGE 4096u
#define STEPS 100u

int main(int argc, char **argv) {
  size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 0) << 20;
  size_t each_step = (argc > 2 ? strtoul(argv[2], NULL, 10) : 0) / PAGE / STEPS;
  unsigned char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (bytes == 0 || memory == MAP_FAILED) return 1;
  memset(memory, 1, bytes);
  uint64_t state = 88172645463325252u, pages = 0;
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (unsigned step = 1;; step++) {
    for (size_t i = 0; i < each_step; i++, pages++) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      memory[state % (bytes / PAGE) * PAGE]++;
    }
    if (step % STEPS == 0) {
      struct rusage used;
      getrusage(RUSAGE_SELF, &used);
      printf("%lld %llu\n", (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000ll + used.ru_utime.tv_usec + used.ru_stime.tv_usec,
             (unsigned long long)pages);
      fflush(stdout);
    }
    next.tv_nsec += 1000000000 / STEPS;
    if (next.tv_nsec >= 1000000000) next.tv_nsec -= 1000000000, next.tv_sec++;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
  }
}
