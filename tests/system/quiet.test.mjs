// quiet: connections on which nothing comes are not polled; what comes then is there at once all the same.

import assert from 'node:assert/strict';
import { certificates, streamHead } from '../lib/peer.mjs';
import { descriptors, isHinted, seesDescriptors, workers } from '../lib/processes.mjs';
import { scenario, until } from '../lib/scenario.mjs';
import { chunk, LAST_CHUNK } from '../lib/wire.mjs';

const MANY = 80;
const FEW = 32; // as many are polled anyway
const chat = (model, stream) => ({ path: '/v1/chat/completions', json: { model, stream, messages: [{ role: 'user', content: 'hello' }] } });
const event = (text) => `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`;
// Who becomes another than root must still be allowed to send himself hints.
const account = process.getuid() === 0 ? { user: 'nobody' } : {};

// Of the worker's connections, `n`, all but a few have hints: they have left the poll set.
async function quiet(d, n) {
	if (!seesDescriptors)
		return;
	const [pid] = workers(d);
	await until(() => Object.keys(descriptors(pid)).filter((fd) => isHinted(pid, fd)).length > n - FEW, `${n} quiet connections`);
}

scenario('idle connections are answered, time after time', async (s) => {
	const d = await s.daemon({ workers: 1, ...account, providers: { echo: { dialect: 'echo', models: ['echo'] } } });
	const clients = [];
	for (let i = 0; i < MANY; i++)
		clients.push(await s.connect(d));
	for (let round = 0; round < 3; round++) {
		for (const client of clients)
			assert.equal((await client.exchange(chat('echo', false))).status, 200);
		await quiet(d, MANY);
	}
	clients[0].end();
	assert.equal(await clients[0].closed(), 'end');
});

// The channel to the master is not polled in each turn; the master is heard all the same.
scenario('a worker that nobody asks has hints from its master', async (s) => {
	const d = await s.daemon({ workers: 1, ...account, providers: { echo: { dialect: 'echo', models: ['echo'] } } });
	if (!seesDescriptors)
		return;
	const [pid] = workers(d);
	await until(() => Object.entries(descriptors(pid)).filter(([fd, file]) => file.startsWith('socket:') && isHinted(pid, fd)).length === 1,
		'its channel has hints, its listeners have none');
});

for (const tls of [false, true]) {
	scenario(`slow streams: events, ends and hang-ups after a pause${tls ? ', from a provider with TLS' : ''}`, async (s) => {
		const provider = await s.peer({ tls });
		const d = await s.daemon({
			workers: 1, ...account, providers: {
				p: { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['m'], ...tls && { tls: { ca_file: certificates().caFile } } },
			},
		});
		const streams = [];
		for (let i = 0; i < MANY; i++) {
			const client = await s.connect(d);
			await client.request(chat('m', true));
			const { conn } = await provider.request();
			await conn.send(streamHead());
			await conn.send(chunk(event('first')));
			const reply = await client.readHead();
			await reply.until(event('first'));
			streams.push({ client, conn, reply });
		}
		for (const text of ['second', 'third']) {
			await quiet(d, 2 * MANY);
			for (const { conn, reply } of streams) {
				await conn.send(chunk(event(text)));
				await reply.until(event(text));
			}
		}
		await quiet(d, 2 * MANY);
		const [left, reset, cut, ...rest] = streams;
		left.client.end();
		await left.conn.closed();
		reset.client.reset();
		await reset.conn.closed();
		await until(() => d.access.filter((line) => line.end === 'client_gone').length === 2, 'both are in the log');
		cut.conn.reset();
		await cut.reply.finish();
		for (const { conn, reply } of rest) {
			await conn.send(chunk('data: [DONE]\n\n') + LAST_CHUNK);
			assert.equal((await reply.finish()).cut, false);
		}
	});
}
