// criu makes each object anew and leaves it empty, because its images say nothing of it (hide.h). It is found where the source said that a process maps it.
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pagemap.h"
#include "report.h"
#include "wire.h"

enum { max_threads = 4, max_pids = 4096 };

struct work {
  const struct store *store;
  uint64_t next; // block, taken by whoever is free
  long long pages;
  int is_broken;
};

// A process of another pid namespace, by its pid there; 0 where it is not (any more).
static pid_t pid_inside(pid_t pid) {
  char path[64], line[256];
  long inside = 0;
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *status = fopen(path, "re");
  while (status && fgets(line, sizeof line, status)) {
    if (strncmp(line, "NSpid:", 6) != 0) continue;
    char *last = strrchr(line, '\t');
    if (last != strchr(line, '\t')) inside = strtol(last + 1, NULL, 10);
    break;
  }
  if (status) fclose(status);
  return (pid_t)inside;
}

// The restored object, by the mapping at `at` of a process; -1 where there is none that is shared.
static int open_mapped(pid_t pid, uint64_t at) {
  char path[128], line[4352], mode[8];
  uint64_t start, end;
  int fd = -1;
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  FILE *maps = fopen(path, "re");
  while (maps && fgets(line, sizeof line, maps)) {
    if (sscanf(line, "%lx-%lx %7s", &start, &end, mode) != 3 || at < start || at >= end) continue;
    snprintf(path, sizeof path, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, start, end);
    if (mode[3] == 's') fd = open(path, O_RDWR | O_CLOEXEC);
    break;
  }
  if (maps) fclose(maps);
  return fd;
}

static int fd_of(const struct store *store, uint32_t space) {
  for (uint64_t i = 0; i < store->object_count; i++)
    if (store->objects[i].space == space) return store->objects[i].fd;
  return -1;
}

// Runs of pages with bytes; what is zero, the object has already.
static void *put_blocks(void *argument) {
  struct work *work = argument;
  for (;;) {
    uint64_t i = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);
    if (i >= work->store->count || work->is_broken) return NULL;
    struct store_block *block = work->store->all[i];
    int fd = block->bytes ? fd_of(work->store, block->space) : -1;
    for (unsigned page = 0, end; fd >= 0 && page < STORE_BLOCK_PAGES; page = end) {
      for (end = page; end < STORE_BLOCK_PAGES && block->state[end] == (COPY_BYTES | COPY_KEPT); end++) continue;
      if (end == page) {
        end++;
        continue;
      }
      const char *bytes = block->bytes + page * PAGE_BYTES;
      size_t length = (end - page) * PAGE_BYTES;
      if (pwrite(fd, bytes, length, (off_t)((block->number * STORE_BLOCK_PAGES + page) * PAGE_BYTES)) != (ssize_t)length) {
        work->is_broken = errno ? errno : EIO;
        return NULL;
      }
      __atomic_fetch_add(&work->pages, end - page, __ATOMIC_RELAXED);
    }
  }
}

// In a process of its own, which has joined the workload's memory cgroup: pages are charged to whoever writes them first, and are the workload's.
static _Noreturn void put_all(struct work *work, const char *charge, int answer) {
  pthread_t threads[max_threads];
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  int thread_count = 0, fd = charge ? open(charge, O_WRONLY | O_CLOEXEC) : -1;
  if (charge && (fd < 0 || write(fd, "0", 1) != 1)) work->is_broken = errno;
  if (fd >= 0) close(fd);
  while (!work->is_broken && thread_count + 1 < processors && thread_count < max_threads && pthread_create(&threads[thread_count], NULL, put_blocks, work) == 0) thread_count++;
  put_blocks(work);
  for (int i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
  _exit(write_all(answer, work, sizeof *work) < 0);
}

static int put_in_child(struct work *work, const char *charge) {
  int answer[2], status;
  if (pipe2(answer, O_CLOEXEC) < 0) return -1;
  pid_t child = fork();
  if (child == 0) put_all(work, charge, answer[1]);
  close(answer[1]);
  int is_answered = child > 0 && read_exactly(answer[0], work, sizeof *work) == 0;
  close(answer[0]);
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  for (uint64_t i = 0; i < work->store->count; i++)
    if (work->store->all[i]->bytes && fd_of(work->store, work->store->all[i]->space) >= 0) store_release(work->store->all[i]);
  return is_answered && !work->is_broken ? 0 : -1;
}

static int open_all(struct store *store, const char *procs) {
  pid_t pids[max_pids], inside[max_pids];
  int count = 0, is_whole = 1;
  char line[32];
  FILE *file = fopen(procs, "re");
  while (file && fgets(line, sizeof line, file) && count < max_pids) {
    pids[count] = (pid_t)atoi(line);
    inside[count] = pid_inside(pids[count]);
    count += inside[count] > 0;
  }
  if (file) fclose(file);
  for (uint64_t i = 0; i < store->object_count; i++) {
    struct store_object *object = &store->objects[i];
    struct stat about;
    for (int k = 0; k < count && object->fd < 0; k++)
      if ((uint32_t)inside[k] == object->pid) object->fd = open_mapped(pids[k], object->at);
    is_whole &= object->fd >= 0 && fstat(object->fd, &about) == 0 && (uint64_t)about.st_size <= object->pages * PAGE_BYTES;
  }
  return is_whole ? 0 : -1;
}

long long place_objects(struct store *store, const char *procs, const char *charge, const char **reason) {
  struct work work = {.store = store};
  int result = -1;
  if (store->object_count == 0) return 0;
  *reason = "shared memory was not restored where the source had it";
  if (open_all(store, procs) == 0) {
    *reason = "shared memory cannot be written: the workload's memory limit, or its cgroup";
    result = put_in_child(&work, charge);
  }
  for (uint64_t i = 0; i < store->object_count; i++)
    if (store->objects[i].fd >= 0) close(store->objects[i].fd);
  return result < 0 ? -1 : work.pages;
}
