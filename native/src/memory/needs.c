#include "needs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pagemap.h"
#include "report.h"

static int by_number(const void *a, const void *b) {
  const struct need *x = a, *y = b;
  return x->number < y->number ? -1 : x->number > y->number;
}

struct need *need_of(const struct fill *fill, uint64_t origin) {
  struct need key = {.number = origin / BLOCK_BYTES};
  return bsearch(&key, fill->state->needs, fill->state->need_count, sizeof key, by_number);
}

int need_has(const struct need *need, unsigned page) { return (int)(need->bits[page / 64] >> page % 64 & 1); }

unsigned need_next_run(const struct need *need, unsigned *page) {
  while (*page < STORE_BLOCK_PAGES && !need_has(need, *page)) ++*page;
  unsigned end = *page;
  while (end < STORE_BLOCK_PAGES && need_has(need, end)) end++;
  return end - *page;
}

void needs_done(struct fill *fill, uint64_t origin, uint64_t pages) {
  for (; pages > 0; pages--, origin += PAGE_BYTES) {
    struct need *need = need_of(fill, origin);
    unsigned page = (unsigned)(origin / PAGE_BYTES % STORE_BLOCK_PAGES);
    if (!need || !need_has(need, page)) continue;
    need->bits[page / 64] &= ~(1ull << page % 64);
    fill->state->pages_left--;
  }
}

const char *needs_content(const struct fill *fill, uint64_t origin, uint64_t *pages) {
  uint64_t low = 0, high = fill->image.count;
  while (low < high) {
    uint64_t middle = (low + high) / 2;
    const struct image_run *run = &fill->image.runs[middle];
    if (run->address + run->pages * PAGE_BYTES <= origin) low = middle + 1;
    else high = middle;
  }
  uint64_t bound = STORE_BLOCK_PAGES - origin / PAGE_BYTES % STORE_BLOCK_PAGES;
  if (low < fill->image.count) {
    const struct image_run *run = &fill->image.runs[low];
    if (run->address <= origin) {
      uint64_t skip = (origin - run->address) / PAGE_BYTES;
      *pages = run->pages - skip < bound ? run->pages - skip : bound;
      return run->bytes + skip * PAGE_BYTES;
    }
    if ((run->address - origin) / PAGE_BYTES < bound) bound = (run->address - origin) / PAGE_BYTES;
  }
  const struct store_block *block = store_find(fill->store, fill->id, origin);
  unsigned first = (unsigned)(origin / PAGE_BYTES % STORE_BLOCK_PAGES);
  *pages = 0;
  if (!block) return NULL;
  while (*pages < bound && block->state[first + *pages] == (COPY_BYTES | COPY_KEPT)) ++*pages;
  return *pages > 0 ? block->bytes + first * PAGE_BYTES : NULL;
}

uint64_t needs_origin(const struct fill *fill, uint64_t address) {
  for (uint32_t i = fill->state->move_count; i-- > 0;) {
    const struct moved *moved = &fill->state->moves[i];
    if (address >= moved->to && address < moved->to + moved->length) address = address - moved->to + moved->from;
  }
  return address;
}

uint64_t needs_place(const struct fill *fill, uint64_t origin) {
  for (uint32_t i = 0; i < fill->state->move_count; i++) {
    const struct moved *moved = &fill->state->moves[i];
    if (origin >= moved->from && origin < moved->from + moved->length) origin = origin - moved->from + moved->to;
  }
  return origin;
}

// A block in which the workload wrote much is one that it will ask for first: what all its requests go through (tables, headers of objects) lies densely together.
struct heat {
  uint64_t written, index;
};

static int hottest_first(const void *a, const void *b) {
  const struct heat *x = a, *y = b;
  return x->written > y->written ? -1 : x->written < y->written;
}

static struct need *add_need(struct fill *fill, uint64_t number) {
  struct fill_state *state = fill->state;
  state->needs[state->need_count] = (struct need){.number = number};
  return &state->needs[state->need_count++];
}

void needs_collect(struct fill *fill) {
  const struct store *store = fill->store;
  uint64_t most = 0;
  for (uint64_t i = 0; i < store->count; i++) most += store->all[i]->space == fill->id;
  for (uint64_t i = 0; i < fill->image.count; i++) most += fill->image.runs[i].pages / STORE_BLOCK_PAGES + 2;
  fill->state_bytes = sizeof *fill->state + most * sizeof(struct need);
  fill->state = mmap(NULL, fill->state_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (fill->state == MAP_FAILED) fail(errno, "memory: the state of a process");
  for (uint64_t i = 0; i < store->count; i++)
    if (store->all[i]->space == fill->id) add_need(fill, store->all[i]->number);
  qsort(fill->state->needs, fill->state->need_count, sizeof(struct need), by_number);
  for (uint64_t i = 0; i < fill->image.count; i++) {
    uint64_t at = fill->image.runs[i].address, end = at + fill->image.runs[i].pages * PAGE_BYTES;
    for (at = at / BLOCK_BYTES * BLOCK_BYTES; at < end; at += BLOCK_BYTES)
      if (!need_of(fill, at)) {
        add_need(fill, at / BLOCK_BYTES);
        qsort(fill->state->needs, fill->state->need_count, sizeof(struct need), by_number);
      }
  }
  struct heat *heat = malloc((fill->state->need_count + 1) * sizeof *heat);
  fill->order = malloc((fill->state->need_count + 1) * sizeof *fill->order);
  if (!heat || !fill->order) fail(ENOMEM, "memory: the order of pages");
  for (uint64_t i = 0; i < fill->state->need_count; i++) {
    struct need *need = &fill->state->needs[i];
    const struct store_block *block = store_find(store, fill->id, need->number * BLOCK_BYTES);
    for (unsigned page = 0; block && page < STORE_BLOCK_PAGES; page++)
      if (block->state[page] == (COPY_BYTES | COPY_KEPT)) need->bits[page / 64] |= 1ull << page % 64;
    heat[i] = (struct heat){block ? block->heat : 0, i};
  }
  for (uint64_t i = 0; i < fill->image.count; i++)
    for (uint64_t k = 0; k < fill->image.runs[i].pages; k++) {
      uint64_t at = fill->image.runs[i].address + k * PAGE_BYTES;
      struct need *need = need_of(fill, at);
      unsigned page = (unsigned)(at / PAGE_BYTES % STORE_BLOCK_PAGES);
      need->bits[page / 64] |= 1ull << page % 64;
      heat[need - fill->state->needs].written = UINT64_MAX;
    }
  qsort(heat, fill->state->need_count, sizeof *heat, hottest_first);
  for (uint64_t i = 0; i < fill->state->need_count; i++) {
    fill->order[i] = heat[i].index;
    for (unsigned k = 0; k < STORE_BLOCK_PAGES / 64; k++) fill->state->pages_left += (uint64_t)__builtin_popcountll(fill->state->needs[i].bits[k]);
  }
  free(heat);
}

uint64_t fill_left(const struct fill *fill) {
  uint64_t left = 0;
  for (; fill; fill = fill->forked) left += fill->state->pages_left;
  return left;
}

int fill_needs_block(const struct fill *fill, uint64_t number) {
  for (; fill; fill = fill->forked) {
    const struct need *need = need_of(fill, number * BLOCK_BYTES);
    for (unsigned i = 0; need && i < STORE_BLOCK_PAGES / 64; i++)
      if (need->bits[i]) return 1;
  }
  return 0;
}
