// Which pages of a restored process are still to be put in place, where their bytes are, and where they lie now.
#ifndef AETHER_NEEDS_H
#define AETHER_NEEDS_H

#include <stdint.h>

#include "fill.h"

#define BLOCK_BYTES (STORE_BLOCK_PAGES * PAGE_BYTES)

// All of the image's pages, and those kept in the store whose bytes are not zero; and the order in which they are put in place unless somebody asks.
void needs_collect(struct fill *fill);

// NULL: nothing of the block was ever needed.
struct need *need_of(const struct fill *fill, uint64_t origin);
int need_has(const struct need *need, unsigned page);

// The run of needed pages that begins at or behind `page`; its length, 0 where there is none.
unsigned need_next_run(const struct need *need, unsigned *page);

void needs_done(struct fill *fill, uint64_t origin, uint64_t pages);

// Where the bytes of a page are: criu's image has what was dumped, the store what came before. NULL: the page is zero. *pages: how many follow at once.
const char *needs_content(const struct fill *fill, uint64_t origin, uint64_t *pages);

// Where a page lay at the dump, and where it lies now.
uint64_t needs_origin(const struct fill *fill, uint64_t address);
uint64_t needs_place(const struct fill *fill, uint64_t origin);

#endif
