// What a target makes of criu's images of memory pages, whatever is in them: the first half of the input is a pagemap image, the rest its pages. `make fuzz`.
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// It maps the pages for as long as its process lives; here they are given back after each input.
static struct { void *bytes; size_t length; } mapped[2];
static int mapped_count;
static void *map_and_remember(void *wanted, size_t length, int protection, int flags, int fd, off_t offset) {
  void *bytes = mmap(wanted, length, protection, flags, fd, offset);
  if (bytes != MAP_FAILED && mapped_count < 2) mapped[mapped_count].bytes = bytes, mapped[mapped_count++].length = length;
  return bytes;
}
#define mmap map_and_remember
#define munmap(bytes, length) 0
#include "../src/memory/images.c"
#undef mmap
#undef munmap

static void write_file(const char *name, const uint8_t *bytes, size_t length, size_t whole) {
  int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || write(fd, bytes, length) != (ssize_t)length || ftruncate(fd, (off_t)whole) < 0) abort();
  close(fd);
}

static char dir[] = "/dev/shm/aether-fuzz-XXXXXX";

static void remove_dir(void) {
  unlink("pagemap-1.img");
  unlink("pages-1.img");
  rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  if (!mkdtemp(dir) || chdir(dir) < 0 || atexit(remove_dir) != 0) abort();
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct image image;
  const char *reason;
  if (size == 0) return 0;
  write_file("pagemap-1.img", data, size, size);
  write_file("pages-1.img", data, 0, data[0] % 8 * PAGE_BYTES + data[0] % 3);
  if (image_read(1, &image, &reason) == 0) {
    volatile char sum = 0;
    for (uint64_t i = 0; i < image.count; i++)
      for (uint64_t k = 0; k < image.runs[i].pages; k++) sum = (char)(sum + image.runs[i].bytes[k * PAGE_BYTES] + image.runs[i].bytes[(k + 1) * PAGE_BYTES - 1]);
  }
  free(image.runs);
  while (mapped_count > 0) mapped_count--, munmap(mapped[mapped_count].bytes, mapped[mapped_count].length);
  return 0;
}
