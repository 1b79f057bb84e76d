// A descriptor and a number over a unix socket.
#ifndef AETHER_FDPASS_H
#define AETHER_FDPASS_H

// `fd` -1: the number alone. 0, or -1 with errno.
int send_fd(int socket, int fd, int number);

// The descriptor, or -1 where none came (end of the stream: *number is EPIPE).
int receive_fd(int socket, int *number);

#endif
