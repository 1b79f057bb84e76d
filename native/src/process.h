// Another process, by its folder in /proc: once that is open, a later process with the same pid is never meant.
#ifndef AETHER_PROCESS_H
#define AETHER_PROCESS_H

// Ends the program when there is none that began at `ticks` (field 22 of /proc/PID/stat).
int process_open(const char *command, long long pid, long long ticks);

// A file of that folder, close on exec; ends the program where it cannot be opened.
int process_file(const char *command, int process, const char *name, int flags);

#endif
