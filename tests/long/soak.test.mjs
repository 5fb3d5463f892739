// soak: a bounded load for an hour, with reloads, upgrades, kills, more and fewer workers and other log files meanwhile; memory and
// descriptors stay as they are.
//
// SOAK_SECONDS: for how long; SOAK_RATE: requests a second. What is measured, every 10 s, is left in build/soak.csv, and shown as two curves.
// The medians of the second quarter and of the last one are compared: memory may differ by a twentieth and 1 MiB, descriptors
// by a twentieth and 8.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scenario, until } from '../lib/scenario.mjs';
import { descriptorCount, workers } from '../lib/processes.mjs';
import { Killer, assertCounted, assertLimited, describe, finish, reload, underLoad, upgrade, wait } from '../lib/operate.mjs';

const seconds = Number(process.env.SOAK_SECONDS || 3600);
const rate = Number(process.env.SOAK_RATE || 200);
const build = fileURLToPath(new URL('../../build/', import.meta.url));
const EVERY = { sample: 10, reload: 60, kill: 97, workers: 130, logs: 61, upgrade: seconds / 8 };

function sample({ d, load }, began) {
	let descriptors = 0;
	const processes = d.processes().filter((p) => p.state !== 'Z');
	for (const { pid } of processes) {
		try {
			descriptors += descriptorCount(pid);
		} catch {
			// it has ended meanwhile
		}
	}
	return { second: Math.round((Date.now() - began) / 1000), pss: d.pss(), descriptors, processes: processes.length, open: load.now.open };
}

const median = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];

// A curve of 72 columns, each the median of its part of the time, from 0 up.
function plot(title, values, unit) {
	const n = Math.min(72, values.length);
	const part = (i) => Math.floor(i * values.length / n);
	const columns = Array.from({ length: n }, (_, i) => median(values.slice(part(i), part(i + 1))));
	const [top, rows] = [Math.max(...columns), 10];
	console.log(`| ${title}, 0 to ${top.toFixed(1)} ${unit}; least ${Math.min(...columns).toFixed(1)}`);
	for (let row = rows; row > 0; row--)
		console.log(`| ${columns.map((v) => (v >= top * (row - 0.5) / rows ? '#' : ' ')).join('')}`);
}

function assertFlat(what, values, most) {
	const quarter = Math.floor(values.length / 4);
	const [second, last] = [median(values.slice(quarter, 2 * quarter)), median(values.slice(3 * quarter))];
	const shown = `${what}: median of the second quarter ${second}, of the last ${last}`;
	console.log(`| ${shown}`);
	assert.ok(last <= second + second / 20 + most, shown);
}

scenario(`${seconds} s of all that an administrator does`, async (s) => {
	const run = await underLoad(s, { rate, streamSeconds: 10, nWorkers: 3 });
	const { d } = run;
	const killer = new Killer(run, 0);
	await wait(12000);
	const began = Date.now();
	const samples = [];
	const done = { reload: 0, kill: 0, workers: 0, logs: 0, upgrade: 0 };
	const acts = {
		sample: () => samples.push(sample(run, began)),
		reload: () => reload(run),
		kill: () => killer.kill(workers(d)[0]),
		workers: async () => {
			d.signal('SIGTTIN');
			await until(() => workers(d).length > run.nWorkers, 'there is one more');
			d.signal('SIGTTOU');
		},
		logs: () => d.signal('SIGUSR1'),
		upgrade: () => upgrade(run),
	};
	const due = Object.fromEntries(Object.entries(EVERY).map(([name, every]) => [name, every]));
	for (let now = 0; now < seconds; now = (Date.now() - began) / 1000) {
		for (const [name, act] of Object.entries(acts)) {
			if (now < due[name])
				continue;
			due[name] += EVERY[name];
			await act();
			if (name in done)
				done[name]++;
		}
		await wait(200);
	}
	const end = await finish(run);
	mkdirSync(build, { recursive: true });
	writeFileSync(join(build, 'soak.csv'), ['second,pss,descriptors,processes,open',
		...samples.map((x) => [x.second, x.pss, x.descriptors, x.processes, x.open].join(','))].join('\n') + '\n');
	console.log(`| ${Object.entries(done).map(([name, n]) => `${name} ${n}`).join(', ')}`);
	console.log(`| ${describe(end)}`);
	plot('memory (PSS)', samples.map((x) => x.pss / 1048576), 'MiB');
	plot('descriptors', samples.map((x) => x.descriptors), 'of all processes');
	assert.deepEqual([...run.load.failures, ...run.limited.failures].filter((failure) => !killer.of(failure)).slice(0, 10), [], 'not on a killed worker');
	assertCounted(end, { turns: killer.kills.length });
	console.log(`| ${assertLimited(run, end)}`);
	assertFlat('memory', samples.map((x) => x.pss), 1 << 20);
	assertFlat('descriptors', samples.map((x) => x.descriptors), 8);
}, { ms: seconds * 1000 + 600000 });
