// daemon: the daemon under test, in a directory of its own, with everything that it says kept.
//
// The binary is api-router in the directory API_ROUTER_BUILD (default: build/release). With VALGRIND=1 it runs
// under valgrind. What valgrind or a sanitizer finds, in any of its processes, fails the test when the daemon is
// stopped. Both logs go to files; the access log is JSON unless the configuration says otherwise.

import { spawn } from 'node:child_process';
import { chmodSync, closeSync, existsSync, openSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { confText } from './conf.mjs';
import { limit, underValgrind, until } from './scenario.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const binary = resolve(process.env.API_ROUTER_BUILD ?? join(root, 'build/release'), 'api-router');

export class Daemon {
	#known = new Map(); // pid -> start time, of every process of ours that was ever seen
	#child;
	#runs = 0;

	// `config`: an object (see confText) on top of the defaults below, or the text of a whole file, or null for no
	// file. `args`: more arguments; `env`: more environment; `output`: a descriptor that takes the place of the file
	// for standard output; `closed`: start with descriptors 0, 1 and 2 closed, where the log must be a file; `binary`:
	// another build of it; `under`: the words of a command that runs it.
	constructor(dir, config = {}, { args = [], env = {}, output, closed = false, binary: path = binary, under = [] } = {}) {
		this.dir = dir;
		this.binary = path;
		chmodSync(dir, 0o777); // processes that dropped root write reports here
		this.configFile = join(dir, 'api-router.conf');
		this.args = args;
		this.env = env;
		this.output = output;
		this.closed = closed;
		this.under = under;
		this.watched = underValgrind || under[0] === 'valgrind';
		this.exit = undefined; // { code, signal }
		if (config !== null)
			this.writeConfig(config);
	}
	defaults() {
		return {
			listen: [{ address: '127.0.0.1', port: 0 }],
			workers: 1,
			pid_file: join(this.dir, 'pid'),
			access_log: { format: 'json' },
			seccomp: this.watched ? false : undefined,
		};
	}
	writeConfig(config) {
		// Valgrind makes calls of its own in each process. A text keeps the numbers of its lines.
		const off = this.watched && !/^@|\bseccomp\b/.test(config) ? 'seccomp = false; ' : '';
		this.config = typeof config === 'string' ? off + config : confText({ ...this.defaults(), ...config });
		writeFileSync(this.configFile, this.config);
	}

	// ---- running

	#spawn(args) {
		this.#child = this.#launch(args, 'stdout', 'stderr');
		this.pid = this.#child.pid;
		this.exit = undefined;
		this.exited = this.#child.exited;
		this.exited.then((exit) => (this.exit = exit), () => {});
	}
	#launch(args, out, err) {
		const command = underValgrind
			? ['valgrind', '-q', '--leak-check=full', '--errors-for-leak-kinds=definite', '--error-exitcode=99',
				`--log-file=${this.dir}/report.valgrind.%p`, this.binary]
			: [...this.under, this.binary];
		if (this.closed)
			command.unshift('sh', '-c', 'exec "$@" <&- >&- 2>&-', 'sh');
		const files = [out, err].map((name) => openSync(join(this.dir, name), 'a'));
		const found = `log_path=${this.dir}/report`;
		const child = spawn(command[0], [...command.slice(1), ...args], {
			cwd: this.dir,
			stdio: ['ignore', out === 'stdout' ? this.output ?? files[0] : files[0], files[1]],
			env: {
				PATH: process.env.PATH,
				ASAN_OPTIONS: `${found}.asan:exitcode=99`,
				UBSAN_OPTIONS: `${found}.ubsan:print_stacktrace=1`,
				LSAN_OPTIONS: 'exitcode=99',
				...this.env,
			},
		});
		files.forEach(closeSync);
		child.exited = new Promise((done, failed) => {
			child.on('error', failed);
			child.on('exit', (code, signal) => done({ code, signal }));
		});
		return child;
	}
	#arguments() {
		return this.config === undefined ? this.args : ['-c', this.configFile, ...this.args];
	}
	// In the foreground, until it says that it is ready.
	async start() {
		this.#spawn(this.#arguments());
		await until(() => this.exit || /\bready:/.test(this.log), 'the daemon is ready', 20000);
		if (this.exit)
			throw new Error(`the daemon ended at its start: ${JSON.stringify(this.exit)}`);
		this.processes();
		this.listeners = [...this.log.matchAll(/listening on (\S+):(\d+)/g)]
			.map(([, address, port]) => ({ address, port: Number(port) }));
		this.port = this.listeners[0]?.port;
	}
	// Another run of the binary with the same configuration file, which ends by itself:
	// { code, signal, stdout, stderr, output }. What it started in the background is stopped with the daemon.
	async run(...args) {
		return this.runBare(...(this.config === undefined ? [] : ['-c', this.configFile]), ...args);
	}
	// The same without -c.
	async runBare(...args) {
		const [out, err] = [`run.${++this.#runs}.stdout`, `run.${this.#runs}.stderr`];
		const child = this.#launch(args, out, err);
		const exit = await Promise.race([child.exited, new Promise((done) => setTimeout(done, limit(20000)).unref())]);
		if (!exit) {
			child.kill('SIGKILL');
			throw new Error(`api-router ${args.join(' ')} did not end`);
		}
		const [stdout, stderr] = [this.#file(out), this.#file(err)];
		return { ...exit, stdout, stderr, output: stdout + stderr };
	}
	// Look after a process that detached itself, or took over from the one that `start` had started, as if it had been that one.
	async adopt(pid) {
		this.#child = undefined;
		this.pid = pid;
		this.exit = undefined;
		this.processes();
	}
	signal(name) {
		process.kill(this.pid, name);
	}
	// USR2; the pid of the new master, which serves.
	async upgrade() {
		const after = this.log.length;
		this.signal('SIGUSR2');
		const [, pid] = await this.waitLog(/the new master \(pid (\d+)\) serves as well/, { after, ms: 20000 });
		this.processes();
		return Number(pid);
	}
	async waitExit(ms) {
		return until(() => this.exit, 'the daemon has ended', ms);
	}
	get url() {
		return `http://127.0.0.1:${this.port}`;
	}

	// ---- what it says

	#file(name) {
		try {
			return readFileSync(join(this.dir, name), 'utf8');
		} catch {
			return '';
		}
	}
	get log() {
		return this.#file('stderr');
	}
	get stdout() {
		return this.#file('stdout');
	}
	// Lines of the access log, as objects.
	get access() {
		return this.stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line));
	}
	// Wait for a line of the log; the match. `after`: look only behind this many characters of it.
	async waitLog(pattern, { ms, after = 0 } = {}) {
		return until(() => this.log.slice(after).match(pattern), `the log has ${pattern}`, ms);
	}
	// Wait until the access log has this many lines; its text. Each request has one, which may come a little behind its reply:
	// who asserts that something is not in the log waits for all of them.
	async logged(n, ms) {
		return until(() => this.stdout.split('\n').length === n + 1 && this.stdout, `the access log has ${n} lines`, ms);
	}
	// Wait for a line of the access log: the first for which `which` holds (a function, a request id, or nothing).
	async waitAccess(which = () => true, ms) {
		const test = typeof which === 'string' ? (line) => line.request_id === which : which;
		return until(() => this.access.find(test), 'the access log has the line', ms);
	}

	// ---- its processes

	// All below the master, itself first: [{ pid, ppid, start, state, command }].
	processes() {
		const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(processOf).filter(Boolean);
		const tree = all.filter((p) => p.pid === this.pid);
		for (let i = 0; i < tree.length; i++)
			tree.push(...all.filter((p) => p.ppid === tree[i].pid));
		for (const p of tree)
			this.#known.set(p.pid, p.start);
		return tree;
	}
	children() {
		return this.processes().slice(1);
	}
	// Those that were seen at any time and still run, whoever their parent is now.
	survivors() {
		return [...this.#known].map(([pid, start]) => ({ p: processOf(pid), start }))
			.filter(({ p, start }) => p && p.start === start && p.state !== 'Z' && p.pid !== process.pid)
			.map(({ p }) => p);
	}
	// Memory of the whole tree in bytes, shared pages by their share: of its own pages and of what its processes have in
	// common, not of files, whose share depends on who else has them open.
	pss() {
		let kib = 0;
		for (const { pid } of this.processes()) {
			try {
				const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
				for (const kind of ['Anon', 'Shmem'])
					kib += Number(rollup.match(new RegExp(`^Pss_${kind}:\\s+(\\d+)`, 'm'))[1]);
			} catch (error) {
				if (error instanceof TypeError)
					throw error; // a kernel that does not tell; else the process has ended meanwhile
			}
		}
		return kib * 1024;
	}

	// ---- the end

	async stop() {
		if (this.#child && !this.exit)
			this.processes();
		const left = this.survivors();
		let problem;
		if (this.#child && !this.exit) {
			this.signal('SIGTERM');
			if (!(await until(() => this.exit, '', 10000).catch(() => false)))
				problem = 'the daemon did not end within 10 s of SIGTERM';
			else if (this.exit.code !== 0)
				problem = `the daemon ended with ${JSON.stringify(this.exit)} after SIGTERM`;
		} else if (left.some((p) => p.pid === this.pid)) {
			process.kill(this.pid, 'SIGTERM'); // adopted
		}
		if (!(await until(() => this.survivors().length === 0, '', 3000).catch(() => false)))
			problem ??= `processes were left behind: ${JSON.stringify(this.survivors())}`;
		for (const { pid } of this.survivors())
			process.kill(pid, 'SIGKILL');
		const found = this.#reports();
		if (found)
			throw new Error(`a tool found fault with the daemon:\n${found}`);
		if (problem)
			throw new Error(problem);
	}
	#reports() {
		return readdirSync(this.dir).filter((name) => name.startsWith('report.'))
			.map((name) => this.#file(name)).filter((text) => text.trim()).join('\n');
	}
	report() {
		if (!existsSync(this.dir))
			return `--- configuration\n${this.config ?? '(none)'}(its directory is removed already)`;
		const runs = readdirSync(this.dir).filter((name) => name.startsWith('run.')).sort()
			.map((name) => `--- ${name}\n${this.#file(name)}`);
		return `--- configuration\n${this.config ?? '(none)'}--- log of the daemon (${JSON.stringify(this.exit ?? 'running')})\n` +
			`${this.log.slice(-20000)}--- standard output (access log)\n${this.stdout.slice(-20000)}\n${runs.join('')}`;
	}
}

function processOf(pid) {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
		const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ').trim();
		return { pid: Number(pid), ppid: Number(rest[1]), start: rest[19], state: rest[0], command };
	} catch {
		return undefined;
	}
}
