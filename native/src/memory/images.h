// criu's images of one process's memory (pagemap-ID.img, pages-N.img; https://criu.org/Memory_dumps): which pages they hold and where.
#ifndef AETHER_IMAGES_H
#define AETHER_IMAGES_H

#include <stdint.h>

struct image_run {
  uint64_t address, pages;
  const char *bytes; // in a mapping of the pages image
};

struct image {
  struct image_run *runs; // lazy pages that are present, ascending
  uint64_t count, pages;
};

// Reads what the image in the current directory holds of `id` that criu leaves to the lazy-pages daemon. -1 and `*reason`.
int image_read(uint32_t id, struct image *image, const char **reason);

#endif
