/*
 * net: what the client and the upstream do alike with sockets, and their stamps of time.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/types.h>

/* A stamp is the mark and the nanoseconds of the monotonic clock, which all processes share. No
 * other text has the mark. */
#define STAMP_MARK '@'
#define STAMP_DIGITS 16

struct sockaddr_in loopback(int port);
/* -1 with errno. */
int net_listen(int port);
/* The limit of open files as high as it may be; what it is then. */
int net_raise_files(void);
/* What a new socket of either side needs. */
void net_prepare(int fd);
/* To be told of everything that changes on fd, once each time. */
void net_watch(int epoll_fd, int fd, void *data);
/* As read and write; with a tls of NULL they are. */
ssize_t net_read(int fd, SSL *tls, void *buf, size_t size);
ssize_t net_write(int fd, SSL *tls, const void *buf, size_t len);
/* A context whose connections write in parts; it ends the program when the files cannot be used. */
SSL_CTX *net_tls(const char *certificate, const char *key);
/* Sleep until something happens or until a time; events found. */
struct epoll_event;
int net_wait(int epoll_fd, struct epoll_event *events, int most, uint64_t until_ns);
void stamp_write(char *out, uint64_t ns);

#endif
