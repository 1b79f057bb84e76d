#include "inherited.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pagemap.h"
#include "report.h"

#define BLOCK_BYTES (STORE_BLOCK_PAGES * PAGE_BYTES)
#define ZONE_BYTES (1ull << 34)
#define GIB (1ull << 30)
// Each is cut out of criu's range, and a process may have 65,530 mappings (vm.max_map_count).
enum { max_mappings = 16384 };

void zones_begin(struct zones *zones, uint64_t start, uint64_t length) {
  zones->base = (start + GIB - 1) / GIB * GIB;
  zones->slots = start + length > zones->base ? (start + length - zones->base) / ZONE_BYTES : 0;
  zones->count = 0;
}

uint64_t zones_place(struct zones *zones, uint32_t space, uint64_t address) {
  uint64_t number = address / ZONE_BYTES;
  unsigned i = 0;
  while (i < zones->count && (zones->all[i].space != space || zones->all[i].number != number)) i++;
  if (i == zones->count) {
    if (i == max_zones || i >= zones->slots) return 0;
    zones->all[zones->count++] = (struct zone){space, number};
  }
  return zones->base + i * ZONE_BYTES + address % ZONE_BYTES;
}

static int is_kept(const struct store_block *block, unsigned page) { return block->state[page] == (COPY_BYTES | COPY_KEPT); }

static int by_address(const void *a, const void *b) {
  const struct store_block *x = *(struct store_block *const *)a, *y = *(struct store_block *const *)b;
  if (x->space != y->space) return x->space < y->space ? -1 : 1;
  return x->number < y->number ? -1 : x->number > y->number;
}

// Kept pages of a mapping; `blocks` are in order.
static uint64_t kept_in(struct store_block *const *blocks, uint64_t count, const struct mapping *mapping) {
  uint64_t low = 0, high = count, pages = 0;
  while (low < high) {
    uint64_t middle = (low + high) / 2;
    const struct store_block *block = blocks[middle];
    if (block->space < mapping->space || (block->space == mapping->space && (block->number + 1) * BLOCK_BYTES <= mapping->start)) low = middle + 1;
    else high = middle;
  }
  for (; low < count && blocks[low]->space == mapping->space && blocks[low]->number * BLOCK_BYTES < mapping->end; low++)
    for (unsigned page = 0; page < STORE_BLOCK_PAGES; page++) {
      uint64_t address = blocks[low]->number * BLOCK_BYTES + page * PAGE_BYTES;
      pages += address >= mapping->start && address < mapping->end && is_kept(blocks[low], page);
    }
  return pages;
}

// Is the whole of a mapping where its beginning is?
static int is_in_one_piece(struct zones *zones, const struct mapping *mapping, uint64_t place) {
  for (uint64_t at = mapping->start / ZONE_BYTES + 1; at * ZONE_BYTES < mapping->end; at++)
    if (zones_place(zones, mapping->space, at * ZONE_BYTES) != place + (at * ZONE_BYTES - mapping->start)) return 0;
  return 1;
}

uint64_t inherited_mappings(const struct store *store, struct zones *zones, struct inherited *mappings, const char **declined) {
  uint64_t count = 0, pages = 0, kept = 0;
  struct store_block **blocks = malloc((store->count + 1) * sizeof *blocks);
  if (!blocks) fail(ENOMEM, "memory-target: what is inherited");
  memcpy(blocks, store->all, store->count * sizeof *blocks);
  qsort(blocks, store->count, sizeof *blocks, by_address);
  for (uint64_t i = 0; i < store->mapping_count && !*declined; i++) {
    const struct mapping *mapping = &store->mappings[i];
    uint64_t here = mapping->space >= spaces_to ? 0 : kept_in(blocks, store->count, mapping), place = here > 0 ? zones_place(zones, mapping->space, mapping->start) : 0;
    if (here == 0) continue;
    if (place == 0 || !is_in_one_piece(zones, mapping, place)) *declined = "a mapping is not in one piece";
    mappings[count++] = (struct inherited){mapping->space, 0, mapping->start, mapping->end, place};
    pages += here;
  }
  for (uint64_t i = 0; i < store->count; i++)
    for (unsigned page = 0; blocks[i]->space < spaces_to && page < STORE_BLOCK_PAGES; page++) kept += is_kept(blocks[i], page);
  free(blocks);
  if (!*declined && pages != kept) *declined = "a page is in no mapping";
  if (!*declined && count > max_mappings) *declined = "too many mappings";
  return *declined ? 0 : count;
}
