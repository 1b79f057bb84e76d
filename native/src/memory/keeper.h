// From the resume until the last page is in place a workload depends on one process, the worker, which may be killed: its parent, the keeper, has the same descriptors and the same memory, and
// makes another one then.
#ifndef AETHER_KEEPER_H
#define AETHER_KEEPER_H

#include "fill.h"
#include "store.h"

// `work` returns when everything is in place; `fill_of` finds the process of this number. Does not return.
_Noreturn void keep_going(struct fill *(*fill_of)(uint32_t id), void (*work)(void));

// Nobody needs the bytes of this block any more: the keeper, if there is one, lets go of its own.
void keeper_forget(struct store_block *block);

#endif
