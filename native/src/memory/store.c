#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "huge.h"
#include "pagemap.h"
#include "report.h"
#include "wire.h"

#define BLOCK_BYTES (STORE_BLOCK_PAGES * PAGE_BYTES)

static const char zeros[PAGE_BYTES];

void store_init(struct store *store) {
  store->slot_count = 4096;
  store->slots = calloc(store->slot_count, sizeof *store->slots);
  if (!store->slots) fail(ENOMEM, "memory: the store");
  pthread_mutex_init(&store->growing, NULL);
}

static uint64_t slot_of(const struct store *store, uint32_t space, uint64_t number) {
  uint64_t at = ((number ^ (uint64_t)space << 40) * 0x9e3779b97f4a7c15ull >> 20) & (store->slot_count - 1);
  while (store->slots[at] && (store->slots[at]->number != number || store->slots[at]->space != space)) at = (at + 1) & (store->slot_count - 1);
  return at;
}

struct store_block *store_find(const struct store *store, uint32_t space, uint64_t address) {
  return store->slots[slot_of(store, space, address / BLOCK_BYTES)];
}

void store_empty(struct store_block *block) {
  if (madvise(block->bytes, BLOCK_BYTES, MADV_REMOVE) < 0) madvise(block->bytes, BLOCK_BYTES, MADV_DONTNEED); // shared, or not
}

void store_drop(struct store_block *block) {
  munmap(block->bytes, BLOCK_BYTES);
  free(block);
}

void store_release(struct store_block *block) {
  memset(block->state, COPY_NONE, sizeof block->state);
  block->sum = block->held = 0;
  store_empty(block);
}

static hash_t share_of(const struct store *store, const struct store_block *block, unsigned page) {
  return hash_share(&store->key, (block->number * STORE_BLOCK_PAGES + page) * PAGE_BYTES, block->state[page] & COPY_ZERO ? store->zero_hash : block->hash[page]);
}

// These pages hold nothing any more.
static void drop_pages(const struct store *store, struct store_block *block, unsigned first, uint64_t pages) {
  for (unsigned k = first; k < first + pages; k++)
    if (block->state[k] != COPY_NONE) block->sum -= share_of(store, block, k), block->held--;
  memset(block->state + first, COPY_NONE, pages);
}

// These pages, which held nothing, are there; their hashes too, where they are bytes.
static void add_pages(const struct store *store, struct store_block *block, unsigned first, uint64_t pages, unsigned char state) {
  memset(block->state + first, state, pages);
  for (unsigned k = first; k < first + pages; k++) block->sum += share_of(store, block, k);
  block->held += (unsigned)pages;
}

void store_put_away(struct store *store) {
  uint64_t count = store->count;
  memset(store->slots, 0, store->slot_count * sizeof *store->slots);
  store->count = store->mapping_count = store->object_count = 0;
  for (uint64_t i = 0; i < count; i++) {
    struct store_block *block = store->all[i];
    for (unsigned k = 0; k < STORE_BLOCK_PAGES; k++) {
      unsigned char state = block->state[k];
      if (!(state & COPY_KEPT)) drop_pages(store, block, k, 1);
      else block->state[k] = state & COPY_BYTES ? COPY_ELSEWHERE : state & (unsigned char)~COPY_KEPT;
    }
    if (block->held == 0) {
      store_drop(block);
      continue;
    }
    // What comes next is a page here and there: none of them shall take two megabytes.
    madvise(block->bytes, BLOCK_BYTES, MADV_NOHUGEPAGE);
    store_empty(block);
    store->all[store->count++] = block;
    store->slots[slot_of(store, block->space, block->number)] = block;
  }
}

// Shared blocks are mappings of their own, and a process may have 65,530 (vm.max_map_count).
enum { most_shared_blocks = 16384 };

// Room for a block, at a place that is a multiple of its size; the next lies right below. NULL where there is none.
static char *take_room(int sharing) {
  char *room = mmap(NULL, 2 * BLOCK_BYTES, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return NULL;
  char *block = room + BLOCK_BYTES - (uint64_t)room % BLOCK_BYTES;
  munmap(room, (size_t)(block - room));
  if ((uint64_t)room % BLOCK_BYTES > 0) munmap(block + BLOCK_BYTES, (uint64_t)room % BLOCK_BYTES);
  return block;
}

// A huge page where that is cheap; else the kernel's small pieces, of which it has enough at hand. These are shared, since who takes part in them after the restore is a
// fork while clients wait: of private memory it copies the page tables (37 ms a GiB), of shared memory nothing.
static char *take_memory(struct store *store) {
  char *bytes;
  if (huge_is_dear(&store->price) && store->count < most_shared_blocks && (bytes = take_room(MAP_SHARED))) return bytes;
  if (!(bytes = take_room(MAP_PRIVATE))) return NULL;
  madvise(bytes, BLOCK_BYTES, MADV_HUGEPAGE);
  unsigned char is_there = 0;
  int64_t before = huge_clock_us();
  *(volatile char *)bytes = 0;
  int64_t took = huge_clock_us() - before;
  // Where the kernel has no huge page at hand, a small one was taken in its place.
  if (!huge_is_told(&store->price) && mincore(bytes + BLOCK_BYTES - PAGE_BYTES, PAGE_BYTES, &is_there) == 0 && is_there & 1) huge_paid(&store->price, took);
  return bytes;
}

static struct store_block *make_block(struct store *store, uint32_t space, uint64_t address) {
  if (store->count * 2 >= store->slot_count) {
    free(store->slots);
    store->slot_count *= 4;
    store->slots = calloc(store->slot_count, sizeof *store->slots);
    if (!store->slots) fail(ENOMEM, "memory: the store");
    for (uint64_t i = 0; i < store->count; i++) store->slots[slot_of(store, store->all[i]->space, store->all[i]->number)] = store->all[i];
  }
  struct store_block *block = calloc(1, sizeof *block);
  if (!block || !(block->bytes = take_memory(store))) fail(ENOMEM, "memory: a block of 2 MiB; this host has too little free memory for the workload");
  block->space = space;
  block->number = address / BLOCK_BYTES;
  pthread_mutex_lock(&store->growing);
  if (store->count == store->capacity) {
    store->capacity = store->capacity * 2 + 1024;
    store->all = realloc(store->all, store->capacity * sizeof *store->all);
    if (!store->all) fail(ENOMEM, "memory: the store");
  }
  store->all[store->count++] = block;
  pthread_mutex_unlock(&store->growing);
  return store->slots[slot_of(store, space, address / BLOCK_BYTES)] = block;
}

// One step of a range: the pages of it that lie in one block.
struct piece {
  uint64_t address, pages;
  unsigned first;
};

static int next_piece(struct frame *left, struct piece *piece) {
  if (left->pages == 0) return 0;
  piece->address = left->address;
  piece->first = (unsigned)(left->address / PAGE_BYTES % STORE_BLOCK_PAGES);
  piece->pages = STORE_BLOCK_PAGES - piece->first < left->pages ? STORE_BLOCK_PAGES - piece->first : left->pages;
  left->address += piece->pages * PAGE_BYTES;
  left->pages -= piece->pages;
  return 1;
}

static void forget(struct store *store, struct frame frame) {
  struct piece piece;
  for (uint64_t i = 0; frame.pages == 0 && i < store->count; i++)
    if (store->all[i]->space == frame.space) drop_pages(store, store->all[i], 0, STORE_BLOCK_PAGES);
  while (next_piece(&frame, &piece)) {
    struct store_block *block = store_find(store, frame.space, piece.address);
    if (block) drop_pages(store, block, piece.first, piece.pages);
  }
}

// `wire` NULL: they are zero.
static int take_pages(struct store *store, struct frame frame, struct wire *wire) {
  struct piece piece;
  int is_zero;
  while (next_piece(&frame, &piece)) {
    struct store_block *block = store_find(store, frame.space, piece.address);
    if (!block) block = make_block(store, frame.space, piece.address);
    drop_pages(store, block, piece.first, piece.pages); // not valid while it is half written
    if (!wire) {
      add_pages(store, block, piece.first, piece.pages, COPY_ZERO);
      continue;
    }
    if (wire_read(wire, block->bytes + piece.first * PAGE_BYTES, piece.pages * PAGE_BYTES) < 0) return -1;
    for (unsigned k = piece.first; k < piece.first + piece.pages; k++) block->hash[k] = hash_page(&store->key, block->bytes + k * PAGE_BYTES, &is_zero);
    add_pages(store, block, piece.first, piece.pages, COPY_BYTES);
    for (unsigned k = piece.first; k < piece.first + piece.pages; k++) __atomic_fetch_or(&block->stale[k / 64], 1ull << k % 64, __ATOMIC_RELEASE);
    block->heat += piece.pages;
    __atomic_fetch_add(&store->received_pages, piece.pages, __ATOMIC_RELEASE); // inherit.c sees by it that there is something to do
  }
  return 0;
}

static void add_mapping(struct store *store, const struct frame *frame) {
  if (store->mapping_count == store->mapping_capacity) {
    store->mapping_capacity = store->mapping_capacity * 2 + 256;
    store->mappings = realloc(store->mappings, store->mapping_capacity * sizeof *store->mappings);
    if (!store->mappings) fail(ENOMEM, "memory: the mappings");
  }
  store->mappings[store->mapping_count++] = (struct mapping){frame->space, frame->address, frame->address + frame->pages * PAGE_BYTES};
}

static void add_object(struct store *store, const struct frame *frame) {
  if (store->object_count == store->object_capacity) {
    store->object_capacity = store->object_capacity * 2 + 64;
    store->objects = realloc(store->objects, store->object_capacity * sizeof *store->objects);
    if (!store->objects) fail(ENOMEM, "memory: the shared objects");
  }
  store->objects[store->object_count++] = (struct store_object){.space = frame->space, .pid = (uint32_t)frame->extra, .inode = (uint32_t)(frame->extra >> 32), .at = frame->address, .pages = frame->pages, .fd = -1};
}

struct sum {
  hash_t digest;
  uint64_t pages;
};

// All pages of a block are kept, none of them was yet: the usual case, and each millisecond of it is one of the freeze.
static int keep_whole(struct store_block *block) {
  unsigned char any = 0;
  if (block->held < STORE_BLOCK_PAGES) return -1;
  for (unsigned k = 0; k < STORE_BLOCK_PAGES; k++) any |= block->state[k];
  if (any & COPY_KEPT) return -1;
  for (unsigned k = 0; k < STORE_BLOCK_PAGES; k++) block->state[k] |= COPY_KEPT;
  return 0;
}

// Marks what is kept and adds it up. -1: the source keeps a page that never came.
static int keep(struct store *store, struct frame frame, struct sum *sum) {
  struct piece piece;
  while (next_piece(&frame, &piece)) {
    struct store_block *block = store_find(store, frame.space, piece.address);
    if (!block) return -1;
    sum->pages += piece.pages;
    if (piece.pages == STORE_BLOCK_PAGES) {
      if (keep_whole(block) < 0) return -1;
      sum->digest += block->sum;
      continue;
    }
    for (unsigned k = piece.first; k < piece.first + piece.pages; k++) {
      if (block->state[k] == COPY_NONE || block->state[k] & COPY_KEPT) return -1;
      sum->digest += share_of(store, block, k);
      block->state[k] |= COPY_KEPT;
    }
  }
  return 0;
}

int store_receive(struct store *store, struct wire *wire, void (*sealed)(uint32_t space, uint64_t pages, hash_t digest), const char **reason) {
  struct frame frame;
  struct sum sum = {0};
  uint64_t seals = 0;
  int is_zero;
  *reason = "the stream of pages broke";
  while (wire_read(wire, &frame, sizeof frame) == 0) {
    uint64_t end = frame.address + frame.pages * PAGE_BYTES;
    int is_range = (frame.kind >= FRAME_PAGES && frame.kind <= FRAME_MAPPING) || frame.kind == FRAME_OBJECT;
    if (is_range && (frame.pages > USER_END / PAGE_BYTES || frame.address > USER_END || frame.address % PAGE_BYTES != 0 || end > USER_END)) frame.kind = 0;
    if ((frame.kind == FRAME_PAGES || frame.kind == FRAME_ZERO) && frame.pages > FRAME_MOST_PAGES) frame.kind = 0;
    if (!store->is_keyed && frame.kind != FRAME_KEY) frame.kind = 0;
    switch (frame.kind) {
    case FRAME_KEY:
      *reason = "the source speaks another version of the page stream";
      if (frame.address != WIRE_VERSION || frame.pages != HASH_KEY_WORDS || wire_read(wire, store->key.words, sizeof store->key.words) < 0) return -1;
      *reason = "the stream of pages broke";
      store->zero_hash = hash_page(&store->key, zeros, &is_zero);
      store->is_keyed = 1;
      break;
    case FRAME_PAGES:
      if (take_pages(store, frame, wire) < 0) return -1;
      break;
    case FRAME_ZERO:
      if (take_pages(store, frame, NULL) < 0) return -1;
      break;
    case FRAME_FORGET:
      forget(store, frame);
      break;
    case FRAME_KEEP:
      *reason = "the source keeps a page that never came";
      if (keep(store, frame, &sum) < 0) return -1;
      *reason = "the stream of pages broke";
      break;
    case FRAME_MAPPING:
      add_mapping(store, &frame);
      break;
    case FRAME_OBJECT:
      add_object(store, &frame);
      break;
    case FRAME_MARK:
      if (store->on_mark) store->on_mark(frame.address);
      break;
    case FRAME_SEAL:
      *reason = "the digest of the memory differs from the source's";
      if (sum.pages != frame.pages || (uint64_t)sum.digest != frame.address || (uint64_t)(sum.digest >> 64) != frame.extra) return -1;
      *reason = "the stream of pages broke";
      store->kept_pages += sum.pages;
      seals++;
      sealed(frame.space, sum.pages, sum.digest);
      sum = (struct sum){0};
      break;
    case FRAME_END:
      *reason = "the stream of pages ended early";
      return seals == frame.pages ? 0 : -1;
    default:
      *reason = "the stream of pages holds something that is no frame";
      return -1;
    }
  }
  return -1;
}
