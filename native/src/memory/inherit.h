// The other way for pages to be in place, and the better one: the restored tasks inherit them. criu, which stands some time before the freeze with a range of empty
// address space (native/criu/0006), forks the tasks; what we write into that range before is theirs when they begin, and nothing is left to be put in place while
// they run. Where it cannot be done (no such criu, too little memory, too late), nobody is worse off: criu is told so, and asks for userfaultfd instead.
#ifndef AETHER_INHERIT_H
#define AETHER_INHERIT_H

#include "store.h"

enum inherit_end { INHERIT_DONE = 1, INHERIT_LOST = 2 };

// Opens the door "inherit.socket" in the current directory, and writes what comes into the store into every criu that knocks. `charge`: cgroup.procs of the memory
// cgroup that pays, or NULL. Returns an eventfd that has an enum inherit_end once criu has gone on with our pages: it restored, or went away.
int inherit_begin(struct store *store, const char *charge);

// The source says that the workload hardly writes: where huge pages are dear, none is made for it before its second pass has shown whether that is so.
void inherit_expect_idle(void);

// Of the thread that fills the store: a pass is here; all is here, and what is kept is marked.
void inherit_mark(uint64_t pass);
void inherit_sealed(void);

// After INHERIT_DONE.
uint64_t inherit_pages(void);
// Of 2 MiB: how many hold them.
uint64_t inherit_huge_pages(void);

#endif
