// metrics: what has been counted since the last look. It asks on one connection that it keeps, so that looking closes
// nothing.
//
//	const meter = await makeMeter(s, d);
//	...
//	assert.deepEqual(await meter.moved('closes_total'), { 'client peer': 1 });

import assert from 'node:assert/strict';
import { connect } from './client.mjs';
import { until } from './scenario.mjs';

// { 'values of labels': value } of one metric.
export function series(text, name) {
	const all = {};
	for (const [, labels = '', value] of text.matchAll(new RegExp(`^api_router_${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm')))
		all[[...labels.matchAll(/="((?:[^"\\]|\\.)*)"/g)].map(([, v]) => v).join(' ')] = Number(value);
	return all;
}

class Meter {
	#daemon;
	#conn;
	#before = '';

	constructor(daemon) {
		this.#daemon = daemon;
	}
	async text(headers = {}) {
		this.#conn ??= await connect(this.#daemon, { name: 'the meter' });
		const got = await this.#conn.exchange({ path: '/metrics', headers });
		assert.equal(got?.status, 200);
		return got.text;
	}
	async now(name) {
		return series(await this.text(), name);
	}
	// From here on `moved` counts.
	async mark() {
		this.#before = await this.text();
	}
	async moved(name) {
		const before = series(this.#before, name), now = await this.now(name);
		return Object.fromEntries(Object.entries(now).map(([k, v]) => [k, v - (before[k] ?? 0)]).filter(([, v]) => v !== 0).sort());
	}
	// Wait until exactly this has moved.
	async settles(name, want, ms) {
		let got;
		const sorted = JSON.stringify(Object.fromEntries(Object.entries(want).sort()));
		await until(async () => JSON.stringify(got = await this.moved(name)) === sorted, name, ms)
			.catch(() => assert.deepEqual(got, want, name));
	}
	// The worker that answers has gone, or is to: the next look connects anew.
	forget() {
		this.#conn?.destroy();
		this.#conn = undefined;
	}
	stop() {
		this.forget();
	}
}

export async function makeMeter(s, daemon) {
	const meter = s.keep(new Meter(daemon));
	await meter.mark();
	return meter;
}
