// generator: the programs of bench/ that make load, as processes of a test: Generator asks (bench/load.c), Repeater is a provider
// (bench/provider.c). Both are built beside the daemon.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { dirname, join } from 'node:path';
import { binary } from './daemon.mjs';
import { certificates } from './peer.mjs';
import { limit, until } from './scenario.mjs';

const program = (name) => join(dirname(binary), 'bench', name);

class Process {
	constructor(name, args) {
		this.name = name;
		this.said = []; // lines that are not taken by `hear`
		this.child = spawn(program(name), args.map(String), { stdio: ['ignore', 'pipe', 'pipe'] });
		this.child.stderr.on('data', (data) => this.said.push(String(data)));
		const lines = createInterface({ input: this.child.stdout });
		lines.on('line', (line) => this.hear(line));
		this.ended = new Promise((done) => {
			this.child.on('error', (error) => this.said.push(error.message));
			this.child.on('close', (code) => done(code));
		});
	}
	hear(line) {
		this.said.push(line);
	}
	stop() {
		this.child.kill('SIGKILL');
	}
	report() {
		return `--- ${this.name}\n${this.said.slice(-20).join('\n')}\n`;
	}
}

export class Generator extends Process {
	// `rate`: requests a second; `streams`: how many of a hundred are; `keep`: how many of a hundred may leave their connection
	// open; `words`: of each message; `models`: taken in turn; `key`: a client's; `limited`: 429 is an answer; `patience`: seconds
	// without a byte; `addresses`: from how many it comes, of each of which failures tell the port.
	constructor(daemon, { rate, seconds = 86400, streams = 50, keep = 90, words = 11, models, key, limited = false, patience = 60, addresses = 1 }) {
		super('load', ['-p', daemon.port, '-r', rate, '-s', seconds, '-S', streams, '-k', keep, '-w', words, '-t', patience, '-a', addresses, '-v',
			...models.flatMap((model) => ['-m', model]), ...(key ? ['-K', key] : []), ...(limited ? ['-L'] : [])]);
		this.failures = []; // { failure, at, sent, port, stream, reused, bytes, words, detail }, times in seconds since the epoch
		this.now = { started: 0, answered: 0, refused: 0, failed: 0, open: 0, idle: 0 }; // as of the last second
		this.total = undefined;
	}
	hear(line) {
		const said = JSON.parse(line);
		if (said.failure)
			this.failures.push(said);
		else if (said.total)
			this.total = said;
		else
			this.now = said;
	}
	// Until so many more were answered.
	async more(n, ms) {
		const goal = this.now.answered + n;
		await until(() => this.now.answered >= goal || this.child.exitCode !== null, `${n} more requests were answered`, ms);
	}
	// No new requests; the total, when the last reply has come.
	async finish() {
		this.child.kill('SIGTERM');
		const late = setTimeout(() => this.stop(), limit(120000));
		await this.ended;
		clearTimeout(late);
		if (!this.total)
			throw new Error(`the load did not end: ${this.said.join('\n')}`);
		return this.total;
	}
	report() {
		return `${super.report()}${JSON.stringify(this.total ?? this.now)}\n${this.failures.length} failures\n` +
			this.failures.slice(0, 20).map((f) => `${JSON.stringify(f)}\n`).join('');
	}
}

export class Repeater extends Process {
	// `interval`: between two words of a stream, in ms; `tls`: whether it speaks that.
	constructor(interval, tls) {
		const file = (name) => join(certificates().dir, name);
		super('provider', ['-i', interval, ...(tls ? ['-c', file('localhost.pem'), '-k', file('localhost.key')] : [])]);
		this.tls = tls;
	}
	async listening() {
		await until(() => this.port || this.child.exitCode !== null, 'the provider listens');
		return `${this.tls ? 'https' : 'http'}://127.0.0.1:${this.port}/v1`;
	}
	hear(line) {
		if (line.startsWith('port '))
			this.port = Number(line.slice(5));
		else
			this.total = JSON.parse(line);
	}
	async finish() {
		this.child.kill('SIGTERM');
		await this.ended;
		return this.total;
	}
}
