// A workload that knows its own memory: it writes pages all the time, remembers apart from them what it wrote, and compares without end. One wrong page ends it
// with exit code 3 and a line that names it. Each process prints one line for each whole comparison.
//   memory-workload MIB MIB_PER_SECOND PROCESSES CHURN   (CHURN 1: maps, unmaps, moves, gives back memory and makes short-lived children, which execute a program, as well)
//   SIGUSR1: the first process makes a child that compares all of its memory two seconds later, and prints "child whole".
//   SHARED=anonymous|memfd: its memory is one object for all its processes; children that end at once, and write(2), write it too.
//   FILTER=1 memory-workload COMMAND...: runs another program under a seccomp filter of its own.
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { page_bytes = 4096, words = page_bytes / 8 };

static uint64_t *memory, *written, pages, *writes;
static pthread_mutex_t *lock;
static double rate;
static int memfd = -1, is_shared;

static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13, *state ^= *state >> 7;
  return *state ^= *state << 17;
}

static uint64_t pattern(uint64_t page, int word) { return (page + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)word * 0xff51afd7ed558ccdull; }

static void write_page(uint64_t page) {
  uint64_t now = ++*writes;
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

// Shared memory is written behind the back of whoever watches a process: by a child that is gone at once, and without any mapping.
static void write_otherwise(uint64_t page) {
  pthread_mutex_lock(lock);
  if (memfd >= 0 && page % 2) {
    uint64_t now = ++*writes;
    if (pwrite(memfd, &now, 8, (off_t)(page * page_bytes)) != 8 || pwrite(memfd, &now, 8, (off_t)(page * page_bytes + page_bytes - 8)) != 8) _exit(4);
    written[page] = now;
  } else if (page % 64 == 0) {
    pid_t child = fork();
    if (child == 0) write_page(page), _exit(0);
    if (child > 0) waitpid(child, NULL, 0);
  }
  pthread_mutex_unlock(lock);
}

static volatile sig_atomic_t is_child_wanted;
static void want_child(int number) { is_child_wanted = number; }

// Its memory is that of now: whoever puts pages in place does so for two.
static void make_child(void) {
  is_child_wanted = 0;
  pthread_mutex_lock(lock);
  if (fork() == 0) {
    sleep(2);
    for (uint64_t page = 0; page < pages; page++) check_page(page);
    printf("child whole\n");
    fflush(stdout);
    _exit(0);
  }
  pthread_mutex_unlock(lock);
}

static void *write_all_the_time(void *argument) {
  uint64_t state = 88172645463325252ull ^ (uint64_t)getpid();
  double due = 0;
  (void)argument;
  for (;;) {
    usleep(2000);
    for (due += rate * 256 / 500; due >= 1; due--) {
      pthread_mutex_lock(lock);
      write_page(next_random(&state) % pages);
      pthread_mutex_unlock(lock);
    }
    if (is_child_wanted) make_child();
    if (is_shared) write_otherwise(next_random(&state) % pages);
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
  if (child == 0) {
    if (memory[0] != written[0]) _exit(3);
    execl("/proc/self/exe", "memory-workload", NULL); // ends with 2: it is told nothing
    _exit(5);
  }
  int status;
  if (child > 0 && waitpid(child, &status, 0) == child && status != 2 << 8) printf("wrong child: %x\n", status), fflush(stdout), _exit(3);
}

// A filter that a process may have of its own: this one lets everything pass but one call that nobody makes.
static void filter(void) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_swapoff, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog all = {sizeof program / sizeof *program, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) < 0) _exit(5);
}

int main(int argc, char **argv) {
  if (getenv("FILTER") && argc > 1) {
    filter();
    execvp(argv[1], argv + 1);
    return 5;
  }
  if (argc != 5) return 2;
  pages = strtoull(argv[1], NULL, 10) * 256;
  rate = atof(argv[2]);
  int processes = atoi(argv[3]), is_churning = atoi(argv[4]);
  const char *shared = getenv("SHARED");
  is_shared = shared != NULL;
  if (shared && strcmp(shared, "memfd") == 0 && ((memfd = memfd_create("heap", MFD_CLOEXEC)) < 0 || ftruncate(memfd, (off_t)(pages * page_bytes)) < 0)) return 4;
  memory = mmap(NULL, pages * page_bytes, PROT_READ | PROT_WRITE, memfd >= 0 ? MAP_SHARED : is_shared ? MAP_SHARED | MAP_ANONYMOUS : MAP_PRIVATE | MAP_ANONYMOUS, memfd, 0);
  // What several processes write has its notes and its lock in common too.
  char *notes = mmap(NULL, pages * sizeof *written + page_bytes, PROT_READ | PROT_WRITE, (is_shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || notes == MAP_FAILED) return 4;
  lock = (pthread_mutex_t *)notes;
  writes = (uint64_t *)(notes + page_bytes / 2);
  written = (uint64_t *)(notes + page_bytes);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(lock, &attributes);
  for (uint64_t page = 0; page < pages; page++)
    for (int k = 1; k < words - 1 && page % 16 != 5; k++) memory[page * words + k] = pattern(page, k);
  for (int i = 1; i < processes; i++)
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      break;
    }
  signal(SIGUSR1, want_child);
  pthread_t thread;
  if (pthread_create(&thread, NULL, write_all_the_time, NULL) != 0) return 4;
  for (uint64_t pass = 1;; pass++) {
    for (uint64_t page = 0; page < pages; page++) {
      pthread_mutex_lock(lock);
      check_page(page);
      pthread_mutex_unlock(lock);
      if (page % 2048 == 0) {
        if (is_churning) churn();
        usleep(1000);
      }
    }
    pthread_mutex_lock(lock);
    printf("process %d pass %llu writes %llu\n", getpid(), (unsigned long long)pass, (unsigned long long)*writes);
    fflush(stdout);
    pthread_mutex_unlock(lock);
    usleep(20000);
  }
}
