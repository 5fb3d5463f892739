// faults: a daemon whose system calls fail, or whose clock jumps, when the test says so.
//
//	const faults = makeFaults(s);
//	const d = await s.daemon(config, faults.options);
//	faults.set('accept_errno', errno.ENFILE);
//
// faults.c is compiled once in a process and preloaded into the daemon. It cannot be preloaded into a build with
// sanitizers, nor tell anything under valgrind: then `noFaults` says why, for `skip`.

import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { binary } from './daemon.mjs';
import { underValgrind } from './scenario.mjs';

export const errno = constants.errno;

// In the order of faults.c.
const NAMES = ['clock_ahead_s', 'accept_errno', 'socket_errno', 'fork_errno', 'poll_errno', 'map_shared_errno', 'malloc_least', 'polls'];

const compiler = ['gcc', 'cc', 'clang'].find((name) => spawnSync(name, ['--version']).status === 0);
const sanitized = /__asan_init|__ubsan_handle/.test(spawnSync('nm', ['-D', binary], { encoding: 'utf8' }).stdout ?? '');
export const noFaults = (!compiler && 'there is no compiler') || (sanitized && 'nothing is preloaded before a sanitizer')
	|| (underValgrind && 'valgrind has its own malloc') || false;

let library;

function build() {
	const dir = mkdtempSync(join(tmpdir(), 'api-router-faults-'));
	process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
	execFileSync('chmod', ['755', dir]);
	const out = join(dir, 'faults.so');
	execFileSync(compiler, ['-shared', '-fPIC', '-D_GNU_SOURCE', '-O1', '-fno-builtin', '-o', out,
		fileURLToPath(new URL('faults.c', import.meta.url)), '-ldl'], { stdio: ['ignore', 'ignore', 'inherit'] });
	return out;
}

export function makeFaults(s) {
	library ??= build();
	const dir = s.temporaryDirectory();
	execFileSync('chmod', ['755', dir]);
	const path = join(dir, 'faults');
	writeFileSync(path, Buffer.alloc(8 * NAMES.length), { mode: 0o666 });
	const fd = openSync(path, 'r+');
	s.keep({ stop: () => closeSync(fd) });
	const at = (name) => {
		if (!NAMES.includes(name))
			throw new Error(`no fault is called ${name}`);
		return 8 * NAMES.indexOf(name);
	};
	return {
		options: { env: { LD_PRELOAD: library, FAULTS: path } },
		set(name, value) {
			const bytes = Buffer.alloc(8);
			bytes.writeBigInt64LE(BigInt(value));
			writeSync(fd, bytes, 0, 8, at(name));
		},
		get(name) {
			const bytes = Buffer.alloc(8);
			readSync(fd, bytes, 0, 8, at(name));
			return Number(bytes.readBigInt64LE());
		},
	};
}
