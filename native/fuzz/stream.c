// What a target makes of a stream of pages, whatever comes: the frames are the input, what lies behind them is made up from one byte of it. Read twice, with what a
// keeper does between two snapshots. `make fuzz`.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../src/memory/pagemap.h"
#include "../src/memory/store.h"
#include "../src/memory/wire.h"

static const uint8_t *at;
static size_t left;

int wire_read(struct wire *wire, void *bytes, size_t length) {
  (void)wire;
  size_t taken = length > sizeof(struct frame) ? 1 : length;
  if (taken > left) return errno = EPIPE, -1;
  if (taken == length) memcpy(bytes, at, length);
  else memset(bytes, *at, length);
  at += taken;
  left -= taken;
  return 0;
}

static void sealed(uint32_t space, uint64_t pages, hash_t digest) { (void)space, (void)pages, (void)digest; }

// Each block's sum is that of its pages, however they came and went.
static void check_sum(const struct store *store, const struct store_block *block) {
  hash_t sum = 0;
  unsigned held = 0;
  for (unsigned page = 0; page < STORE_BLOCK_PAGES; page++) {
    if (block->state[page] == COPY_NONE) continue;
    sum += hash_share(&store->key, (block->number * STORE_BLOCK_PAGES + page) * PAGE_BYTES, block->state[page] & COPY_ZERO ? store->zero_hash : block->hash[page]);
    held++;
  }
  if (sum != block->sum || held != block->held) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct store store = {.is_keyed = 1};
  struct wire wire = {0};
  const char *reason;
  store_init(&store);
  at = data;
  left = size;
  if (store_receive(&store, &wire, sealed, &reason) == 0) {
    store_put_away(&store);
    if (store_receive(&store, &wire, sealed, &reason) < 0 && !*reason) abort();
  }
  for (uint64_t i = 0; i < store.count; i++) check_sum(&store, store.all[i]);
  for (uint64_t i = 0; i < store.count; i++)
    if (store_find(&store, store.all[i]->space, store.all[i]->number * STORE_BLOCK_PAGES * PAGE_BYTES) != store.all[i]) abort();
  for (uint64_t i = 0; i < store.count; i++) store_drop(store.all[i]);
  free(store.all);
  free(store.slots);
  free(store.mappings);
  free(store.objects);
  return 0;
}
