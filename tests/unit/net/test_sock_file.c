/*
 * Files of unix sockets: what is in the way of a bind, who owns a file, with which mode it comes
 * into being.
 */
#include "net/sock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char dir[64], path[80];
static union sock_address address;

static void
open_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/test_sock_file.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	ck_assert_int_eq(sock_of_path(str_of(path), &address), 0);
}

static void
close_dir(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(address_of_a_path)
{
	char text[SOCK_TEXT], name[SOCK_NAME], most[SOCK_PATH_MOST + 2];
	union sock_address a, b;

	ck_assert_int_eq(sock_of_path(STR("/run/x"), &a), 0);
	sock_text(&a, text);
	ck_assert_str_eq(text, "unix:");
	sock_name(&a, name);
	ck_assert_str_eq(name, "unix:/run/x");
	ck_assert_uint_eq(sock_port(&a), 0);
	ck_assert(sock_is_loopback(&a));
	ck_assert_int_eq(sock_of_path(STR("/run/x"), &b), 0);
	ck_assert(sock_equal(&a, &b));
	ck_assert_int_eq(sock_of_path(STR("/run/xy"), &b), 0);
	ck_assert(!sock_equal(&a, &b));
	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 80, &b), 0);
	ck_assert(!sock_equal(&a, &b) && !sock_equal(&b, &a));
	memset(most, 'a', sizeof most);
	ck_assert_int_eq(sock_of_path((struct str){ most, SOCK_PATH_MOST }, &a), 0);
	sock_name(&a, name);
	ck_assert_uint_eq(strlen(name), SOCK_PATH_MOST + 5);
	ck_assert_int_eq(sock_of_path((struct str){ most, SOCK_PATH_MOST + 1 }, &a), -1);
	ck_assert_int_eq(sock_of_path(STR(""), &a), -1);
}
END_TEST

START_TEST(what_is_in_the_way)
{
	int fd;

	open_dir();
	ck_assert_int_eq(sock_file_clear(&address), 0); /* nothing */
	fd = sock_listen(&address, true);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(sock_file_clear(&address), -1); /* somebody listens */
	ck_assert_int_eq(errno, EADDRINUSE);
	ck_assert_int_eq(access(path, F_OK), 0);
	close(fd);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(sock_file_clear(&address), 0); /* left behind */
	ck_assert_int_eq(access(path, F_OK), -1);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_eq(write(fd, "precious", 8), 8);
	close(fd);
	ck_assert_int_eq(sock_file_clear(&address), -1); /* a file */
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_int_eq(access(path, F_OK), 0);
	unlink(path);
	ck_assert_int_eq(symlink("/nonexistent/x", path), 0);
	ck_assert_int_eq(sock_file_clear(&address), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	close_dir();
}
END_TEST

START_TEST(who_owns_it)
{
	struct sock_file file;
	int fd;

	open_dir();
	fd = sock_listen(&address, true);
	sock_file_note(&address, &file);
	ck_assert(sock_file_is(&address, &file));
	close(fd);
	unlink(path);
	ck_assert(!sock_file_is(&address, &file));
	sock_file_remove(&address, &file); /* nothing is there */
	fd = sock_listen(&address, true);  /* another's in its place */
	sock_file_note(&address, &file);
	file.inode++;
	sock_file_remove(&address, &file);
	ck_assert_int_eq(access(path, F_OK), 0);
	sock_file_remove(&address, &(struct sock_file){ 0 });
	ck_assert_int_eq(access(path, F_OK), 0);
	sock_file_note(&address, &file);
	sock_file_remove(&address, &file);
	ck_assert_int_eq(access(path, F_OK), -1);
	close(fd);
	close_dir();
}
END_TEST

START_TEST(everybody_may_connect_whatever_the_mask)
{
	struct stat st;
	mode_t mask;
	int fd;

	open_dir();
	mask = umask(0077);
	fd = sock_listen(&address, true);
	ck_assert_int_eq(umask(mask), 0077); /* as it was */
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0666);
	close(fd);
	close_dir();
}
END_TEST

START_TEST(other_addresses_have_no_file)
{
	struct sock_file file;
	union sock_address a;

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	ck_assert_int_eq(sock_file_clear(&a), 0);
	sock_file_note(&a, &file);
	ck_assert_uint_eq(file.inode, 0);
	ck_assert(sock_file_is(&a, &file));
	sock_file_remove(&a, &file);
}
END_TEST

UNIT_MAIN("net/sock_file", address_of_a_path, what_is_in_the_way, who_owns_it,
	everybody_may_connect_whatever_the_mask, other_addresses_have_no_file)
