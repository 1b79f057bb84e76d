#include "headroom.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pagemap.h"

// Of both the node's memory and the workload's limit this much stays free.
#define SPARE_BYTES (64ull << 20)

// A number from a file with others: what follows `name`, or the file's only one. UINT64_MAX where it has none ("max").
static uint64_t number_in(const char *path, const char *name) {
  char line[256];
  uint64_t value = UINT64_MAX;
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof line, file)) {
    size_t skip = strlen(name);
    if (strncmp(line, name, skip) != 0) continue;
    if (sscanf(line + skip, " %" SCNu64, &value) != 1) value = UINT64_MAX;
    break;
  }
  if (file) fclose(file);
  return value;
}

static uint64_t less(uint64_t whole, uint64_t part) { return whole > part ? whole - part : 0; }

// What a limit leaves, bytes; UINT64_MAX where there is none.
static uint64_t limit_leaves(const char *charge) {
  const char *const names[][2] = {{"memory.max", "memory.current"}, {"memory.limit_in_bytes", "memory.usage_in_bytes"}};
  char paths[2][4096];
  const char *end = charge ? strrchr(charge, '/') : NULL;
  for (int i = 0; end && i < 2; i++) {
    for (int k = 0; k < 2; k++) snprintf(paths[k], sizeof paths[k], "%.*s/%s", (int)(end - charge), charge, names[i][k]);
    uint64_t limit = number_in(paths[0], ""), used = number_in(paths[1], "");
    if (limit != UINT64_MAX && used != UINT64_MAX) return less(limit, used);
  }
  return UINT64_MAX;
}

uint64_t headroom_pages(const char *charge) {
  uint64_t bytes = less(number_in("/proc/meminfo", "MemAvailable:") * 1024, SPARE_BYTES + number_in("/proc/meminfo", "MemTotal:") * 1024 / 32);
  uint64_t left = limit_leaves(charge);
  if (left != UINT64_MAX && less(left, SPARE_BYTES / 4) < bytes) bytes = less(left, SPARE_BYTES / 4);
  return bytes / PAGE_BYTES;
}

int headroom_is_within_limit(const char *charge, uint64_t pages) { return limit_leaves(charge) / PAGE_BYTES >= pages; }
