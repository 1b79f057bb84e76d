// What the kernel says of another process's pages: the PAGEMAP_SCAN ioctl (Linux 6.7, Documentation/admin-guide/mm/pagemap.rst) and the parts of
// userfaultfd that older headers lack.
#ifndef AETHER_PAGEMAP_H
#define AETHER_PAGEMAP_H

#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define PAGE_BYTES 4096ull
// No mapping of a process lies above, and the kernel scans no further. x86-64 gives a process 47 bits; arm64 48, and uses the upper half of them first:
// programs lie at 0xaaaa…, libraries, mmap and the stack at 0xffff….
#if defined(__aarch64__)
#define USER_END 0x1000000000000ull
#else
#define USER_END 0x7ffffffff000ull
#endif

struct scan_request {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
struct scan_region {
  uint64_t start, end, categories;
};
#define IOCTL_PAGEMAP_SCAN _IOWR('f', 16, struct scan_request)
enum { PAGE_WP_ALLOWED = 1 << 0, PAGE_WRITTEN = 1 << 1, PAGE_PRESENT = 1 << 3, PAGE_SWAPPED = 1 << 4, PAGE_ZERO_FRAME = 1 << 5, PAGE_GUARD = 1 << 8 };
enum { SCAN_PROTECT = 1 << 0, SCAN_CHECK_ASYNC = 1 << 1 };

#define UFFD_WITH_WP_ASYNC (1 << 15)
#define UFFD_WITH_WP_UNPOPULATED (1 << 13)

// Where the next scan begins. With a full vector, walk_end can lie before the end of what was reported (seen on 6.18): it must not be reported twice.
static inline uint64_t scan_next(const struct scan_request *scan, const struct scan_region *regions, long count) {
  uint64_t reported = count > 0 ? regions[count - 1].end : 0;
  return scan->walk_end > reported ? scan->walk_end : reported;
}

struct range {
  uint64_t start, end;
};

#endif
