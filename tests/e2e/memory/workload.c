// A workload that knows its own memory: it writes pages all the time, remembers apart from them what it wrote, and compares without end. One wrong page ends it
// with exit code 3 and a line that names it. Each process prints one line for each whole comparison.
//   memory-workload MIB MIB_PER_SECOND PROCESSES CHURN   (CHURN 1: maps, unmaps, moves, gives back memory and makes short-lived children as well)
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { page_bytes = 4096, words = page_bytes / 8 };

static uint64_t *memory, *written, pages, writes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double rate;

static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13, *state ^= *state >> 7;
  return *state ^= *state << 17;
}

static uint64_t pattern(uint64_t page, int word) { return (page + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)word * 0xff51afd7ed558ccdull; }

static void write_page(uint64_t page) {
  uint64_t now = ++writes;
  memory[page * words] = memory[page * words + words - 1] = written[page] = now;
}

static void wrong(const char *what, uint64_t page) {
  printf("wrong %s: process %d, page %llu of %llu at %p: %llx, written %llx\n", what, getpid(), (unsigned long long)page, (unsigned long long)pages, (void *)(memory + page * words),
         (unsigned long long)memory[page * words], (unsigned long long)written[page]);
  fflush(stdout);
  _exit(3);
}

static void check_page(uint64_t page) {
  const uint64_t *at = memory + page * words;
  if (at[0] != written[page] || at[words - 1] != written[page]) wrong("mark", page);
  if (page % 16 == 5 && written[page] == 0) return; // left zero
  for (int k = 1; k < words - 1; k++)
    if (at[k] != (page % 16 == 5 ? 0 : pattern(page, k))) wrong("bytes", page);
}

static void *write_all_the_time(void *argument) {
  uint64_t state = 88172645463325252ull ^ (uint64_t)getpid();
  double due = 0;
  (void)argument;
  for (;;) {
    usleep(2000);
    for (due += rate * 256 / 500; due >= 1; due--) {
      pthread_mutex_lock(&lock);
      write_page(next_random(&state) % pages);
      pthread_mutex_unlock(&lock);
    }
  }
  return NULL;
}

// Memory that comes, goes and moves; what it holds is checked before it goes.
static void churn(void) {
  enum { count = 64 };
  static uint64_t round;
  size_t bytes = count * page_bytes;
  uint64_t *fresh = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fresh == MAP_FAILED) _exit(4);
  round++;
  for (uint64_t i = 0; i < count; i++) fresh[i * words] = round + i;
  usleep(3000);
  fresh = mremap(fresh, bytes, bytes * 2, MREMAP_MAYMOVE);
  if (fresh == MAP_FAILED) _exit(4);
  madvise(fresh, 8 * page_bytes, MADV_DONTNEED);
  usleep(3000);
  for (uint64_t i = 0; i < count; i++)
    if (fresh[i * words] != (i < 8 ? 0 : round + i)) printf("wrong churn: process %d, page %llu\n", getpid(), (unsigned long long)i), fflush(stdout), _exit(3);
  munmap(fresh, bytes * 2);
  pid_t child = fork();
  if (child == 0) _exit(memory[0] == written[0] ? 0 : 3);
  int status;
  if (child > 0 && waitpid(child, &status, 0) == child && status != 0) printf("wrong child: %x\n", status), fflush(stdout), _exit(3);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  pages = strtoull(argv[1], NULL, 10) * 256;
  rate = atof(argv[2]);
  int processes = atoi(argv[3]), is_churning = atoi(argv[4]);
  memory = mmap(NULL, pages * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  written = calloc(pages, sizeof *written);
  if (memory == MAP_FAILED || !written) return 4;
  for (uint64_t page = 0; page < pages; page++)
    for (int k = 1; k < words - 1 && page % 16 != 5; k++) memory[page * words + k] = pattern(page, k);
  for (int i = 1; i < processes; i++)
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      break;
    }
  pthread_t thread;
  if (pthread_create(&thread, NULL, write_all_the_time, NULL) != 0) return 4;
  for (uint64_t pass = 1;; pass++) {
    for (uint64_t page = 0; page < pages; page++) {
      pthread_mutex_lock(&lock);
      check_page(page);
      pthread_mutex_unlock(&lock);
      if (page % 2048 == 0) {
        if (is_churning) churn();
        usleep(1000);
      }
    }
    pthread_mutex_lock(&lock);
    printf("process %d pass %llu writes %llu\n", getpid(), (unsigned long long)pass, (unsigned long long)writes);
    fflush(stdout);
    pthread_mutex_unlock(&lock);
    usleep(20000);
  }
}
