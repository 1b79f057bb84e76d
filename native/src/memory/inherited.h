// Where in the range of a criu that stands what lies: 16 GiB of a space at a time in one zone, at the same offset within 2 MiB as in the workload, so that criu moves
// it with mremap by whole page tables and huge pages.
#ifndef AETHER_INHERITED_H
#define AETHER_INHERITED_H

#include "store.h"

enum { max_zones = 512, spaces_to = 0x80000000u /* objects follow */ };

struct zones {
  uint64_t base, slots;
  unsigned count;
  struct zone {
    uint32_t space;
    uint64_t number; // address / 16 GiB
  } all[max_zones];
};

void zones_begin(struct zones *zones, uint64_t start, uint64_t length);

// Where a page of a space lies; 0 where there is no zone left for it.
uint64_t zones_place(struct zones *zones, uint32_t space, uint64_t address);

// A mapping of the workload, as criu is told of it (native/criu/0006).
struct inherited {
  uint32_t space, unused;
  uint64_t start, end, place;
};

// Writes those that have kept pages to `mappings`, with room for the store's, and says how many. 0 and `*declined` where a kept page is in none of them.
uint64_t inherited_mappings(const struct store *store, struct zones *zones, struct inherited *mappings, const char **declined);

#endif
