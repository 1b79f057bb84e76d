// dirty-rate: how much memory a workload writes, from one short window. A part of its memory is write-protected asynchronously, and what was written
// after the window is counted. Bounded in cost, whatever the workload's size: of a large one only some blocks are looked at, spread evenly from a random
// one on (a huge page that is written while it is protected is split), and the count is scaled up. Shared memory leaves no marks (object.c): a smaller sample of it is compared.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "object.h"
#include "options.h"
#include "report.h"
#include "space.h"

enum { most_spaces = 256, most_regions = 4096 };
#define BLOCK_BYTES (BLOCK_PAGES * PAGE_BYTES)
#define SAMPLE_BYTES (128ull << 20)
#define SHARED_SAMPLE_BYTES (32ull << 20) // 8 ms of CPU for each of the two looks

static struct space *spaces[most_spaces];
static int space_count, refused_count;
static struct scan_region regions[most_regions];

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

// Written pages in [start, end); protects them for the next look where `flags` say so. A space that is gone has none.
static uint64_t scan(const struct space *space, uint64_t start, uint64_t end, uint64_t flags) {
  uint64_t pages = 0;
  struct scan_request ask = {
      .size = sizeof ask, .flags = flags, .start = start, .end = end, .vec = (uint64_t)regions, .vec_len = most_regions, .category_mask = PAGE_WRITTEN, .return_mask = PAGE_WRITTEN};
  while (ask.start < end) {
    int count = ioctl(space->pagemap, IOCTL_PAGEMAP_SCAN, &ask);
    if (count < 0) break;
    for (int i = 0; i < count; i++) pages += (regions[i].end - regions[i].start) / PAGE_BYTES;
    uint64_t next = scan_next(&ask, regions, count);
    if (next <= ask.start) break;
    ask.start = next;
  }
  return pages;
}

// Every `stride`-th block of all that is tracked. Returns the pages found, and the bytes looked at.
static uint64_t scan_sample(uint64_t stride, uint64_t first, uint64_t flags, uint64_t *looked_at) {
  uint64_t pages = 0;
  *looked_at = 0;
  for (int i = 0; i < space_count; i++) {
    for (size_t k = 0; k < spaces[i]->tracked.count; k++) {
      uint64_t at = spaces[i]->tracked.items[k].start, end = spaces[i]->tracked.items[k].end;
      while (at < end) {
        uint64_t to = (at / BLOCK_BYTES + 1) * BLOCK_BYTES;
        if (stride == 1 || to > end) to = end;
        if ((at / BLOCK_BYTES + first) % stride == 0) {
          pages += scan(spaces[i], at, to, flags);
          *looked_at += to - at;
        }
        at = to;
      }
    }
  }
  return pages;
}

int dirty_rate_command(int argc, char **argv) {
  const char *procs = NULL, *reason = "";
  long long window_ms = 200;
  const struct option_spec specs[] = {
      {.name = "procs", .text = &procs, .is_required = 1},
      {.name = "window-ms", .number = &window_ms, .min = 10, .max = 10000},
  };
  int rest = parse_options("dirty-rate", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest < argc) usage_error("dirty-rate: unexpected argument \"%s\"", argv[rest]);
  FILE *file = fopen(procs, "re");
  if (!file) fail(errno, "dirty-rate: %s", procs);
  long stopped_us = 0, longest_us = 0;
  uint64_t mapped = 0;
  char line[32];
  while (fgets(line, sizeof line, file) && space_count < most_spaces) {
    struct space *space = space_open((pid_t)atoi(line), &reason, &stopped_us);
    if (stopped_us > longest_us) longest_us = stopped_us;
    if (space && space_read_maps(space, 1, 1) == 0) spaces[space_count++] = space;
    else refused_count++;
  }
  fclose(file);
  if (space_count == 0) fail(0, "dirty-rate: no process can be tracked: %s", reason);
  for (int i = 0; i < space_count; i++)
    for (size_t k = 0; k < spaces[i]->tracked.count; k++) mapped += spaces[i]->tracked.items[k].end - spaces[i]->tracked.items[k].start;
  uint64_t stride = mapped / SAMPLE_BYTES + 1, first = 0, looked_at = 0, ignored;
  if (getrandom(&first, sizeof first, 0) != sizeof first) first = 0;
  struct hash_key key;
  uint64_t shared = 0, compared = 0;
  hash_key_make(&key);
  objects_look(&key, 0, 0, 1, &compared, &shared);
  uint64_t shared_stride = shared / SHARED_SAMPLE_BYTES + 1;
  objects_look(&key, shared_stride, first % shared_stride, 1, &compared, &shared);
  scan_sample(stride, first % stride, SCAN_PROTECT | SCAN_CHECK_ASYNC, &ignored);
  double began = now_ms();
  usleep((useconds_t)window_ms * 1000);
  uint64_t written = scan_sample(stride, first % stride, SCAN_CHECK_ASYNC, &looked_at);
  uint64_t changed = objects_look(&key, shared_stride, first % shared_stride, 0, &compared, &shared);
  double took = now_ms() - began, scale = looked_at > 0 ? (double)mapped / (double)looked_at : 0, shared_scale = compared > 0 ? (double)shared / (double)compared : 0;
  say(STDOUT_FILENO,
      "{\"event\":\"rate\",\"bytesPerSecond\":%.0f,\"writtenPages\":%" PRIu64 ",\"lookedAtBytes\":%" PRIu64 ",\"mappedBytes\":%" PRIu64 ",\"sharedPages\":%" PRIu64 ",\"sharedBytes\":%" PRIu64 ",\"ms\":%.1f,\"spaces\":%d,\"refused\":%d,\"stoppedMs\":%.3f}",
      ((double)(written * PAGE_BYTES) * scale + (double)(changed * PAGE_BYTES) * shared_scale) / took * 1e3, written, looked_at, mapped, changed, shared, took, space_count, refused_count, (double)longest_us / 1e3);
  return 0;
}
