// storm: reloads and upgrades in a row under a thousand requests a second, half of them streams of 10 s. No request fails, every stream
// is whole, and what is counted and limited comes out even over all of them.
//
// STORM_RATE: requests a second; STORM_RELOADS, STORM_UPGRADES: how many of each.

import assert from 'node:assert/strict';
import { scenario, until } from '../lib/scenario.mjs';
import { alive } from '../lib/processes.mjs';
import { assertCounted, assertLimited, assertLogged, describe, finish, reload, rollBack, underLoad, upgrade, wait } from '../lib/operate.mjs';

const rate = Number(process.env.STORM_RATE || 1000);
const nReloads = Number(process.env.STORM_RELOADS || 50);
const nUpgrades = Number(process.env.STORM_UPGRADES || 20);
const load = { rate, streamSeconds: 10, words: 6, nWorkers: 4, addresses: 8 };

// Until as many streams are open as there will be.
const settled = async () => wait(12000);

async function assertWhole(run) {
	await wait(12000); // streams that began last are begun and ended under the last of them
	const end = await finish(run);
	console.log(`| ${describe(end)}`);
	assert.deepEqual([...run.load.failures, ...run.limited.failures].slice(0, 10), []);
	assert.equal(end.provider.left_early, 0);
	assertCounted(end);
	console.log(`| ${assertLimited(run, end)}`);
	await assertLogged(run, end);
}

scenario(`${nReloads} reloads in a row`, async (s) => {
	const run = await underLoad(s, load);
	await settled();
	const began = Date.now();
	for (let i = 0; i < nReloads; i++)
		await reload(run);
	console.log(`| ${nReloads} reloads in ${(Date.now() - began) / 1000} s`);
	await assertWhole(run);
}, { ms: 600000 });

scenario(`${nUpgrades} upgrades, half of them as fast as they may come, with reloads between them, and one rolled back`, async (s) => {
	const run = await underLoad(s, load);
	await settled();
	const began = Date.now();
	for (let i = 0; i < nUpgrades; i++) {
		const old = await upgrade(run);
		if (i % 2)
			await until(() => !alive(old), 'the old one has gone', 120000);
		else
			await reload(run);
	}
	console.log(`| ${nUpgrades} upgrades in ${(Date.now() - began) / 1000} s`);
	await rollBack(run);
	await reload(run);
	await assertWhole(run);
}, { ms: 1800000 });
