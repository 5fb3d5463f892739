// scenario: a test of the daemon between scripted peers.
//
//	scenario('a plain chat passes through', async (s) => {
//		const provider = await s.peer();
//		const daemon = await s.daemon({ providers: { p: openai(provider) } });
//		const client = await s.connect(daemon);
//		...
//	});
//
// Whatever `s` made is stopped and removed at the end, in the opposite order; when the scenario fails, everything
// that each of them has seen (logs, bytes of connections) is shown.

import { test } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Daemon } from './daemon.mjs';
import { Peer } from './peer.mjs';
import { connect } from './client.mjs';

// Everything takes longer under valgrind and sanitizers; waits are long enough for a slow machine, since they end
// when their condition holds.
export const underValgrind = process.env.VALGRIND === '1';
const slow = underValgrind ? 6 : /\bsan/.test(process.env.API_ROUTER_BUILD ?? '') ? 3 : 1;
export const limit = (ms = 10000) => ms * slow;

// Wait until `condition` gives something true, and give that.
export async function until(condition, what, ms) {
	const end = Date.now() + limit(ms);
	for (;;) {
		const value = await condition();
		if (value)
			return value;
		if (Date.now() > end)
			throw new Error(`waited in vain until ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
}

class Scenario {
	#made = [];

	// Have `thing.stop()` called at the end and `thing.report()` shown on failure.
	keep(thing) {
		this.#made.push(thing);
		return thing;
	}
	temporaryDirectory() {
		const dir = mkdtempSync(join(tmpdir(), 'api-router-test-'));
		this.keep({ stop: () => rmSync(dir, { recursive: true, force: true }) });
		return dir;
	}
	// See the files of the classes for their arguments.
	async daemon(config, options) {
		const daemon = this.keep(new Daemon(this.temporaryDirectory(), config, options));
		await daemon.start();
		return daemon;
	}
	// A daemon that is configured and not started: for runs that end by themselves.
	command(config, options) {
		return this.keep(new Daemon(this.temporaryDirectory(), config, options));
	}
	async peer(options) {
		const peer = this.keep(new Peer(options));
		await peer.listen();
		return peer;
	}
	async connect(to, options) {
		const conn = await connect(to, options);
		return this.keep({ conn, stop: () => conn.destroy(), report: () => conn.report() }).conn;
	}
	// One request on a connection of its own; the reply, complete or cut.
	async request(to, options) {
		const conn = await this.connect(to, options);
		await conn.request({ headers: { Connection: 'close' }, ...options });
		return conn.readReply({ method: options.method, ms: options.ms });
	}

	async finish() {
		const errors = [];
		for (const thing of this.#made.reverse()) {
			try {
				await thing.stop();
			} catch (error) {
				errors.push(error);
			}
		}
		if (errors.length)
			throw errors[0];
	}
	report() {
		return this.#made.map((thing) => thing.report?.()).filter(Boolean).join('\n');
	}
}

// `options.ms`: the longest that it may take; `options.skip`: a reason.
export function scenario(name, body, options = {}) {
	test(name, { skip: options.skip ?? false }, async () => {
		const s = new Scenario();
		let timer;
		const late = new Promise((_, reject) => {
			timer = setTimeout(() => reject(new Error('the scenario lasts too long')), limit(options.ms ?? 60000));
		});
		try {
			await Promise.race([body(s), late]);
		} catch (error) {
			console.error(`==== ${name}: ${error.message}\n${s.report()}\n====`);
			await s.finish().catch(() => {});
			throw error;
		} finally {
			clearTimeout(timer);
		}
		try {
			await s.finish();
		} catch (error) {
			console.error(`==== ${name}, at its end: ${error.message}\n${s.report()}\n====`);
			throw error;
		}
	});
}
