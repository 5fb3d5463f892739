// edges: what an audit of the whole found wrong once, a scenario each.
import assert from 'node:assert/strict';
import net from 'node:net';
import { limit, scenario, until } from '../lib/scenario.mjs';
import { streamHead } from '../lib/peer.mjs';
import { chunk, LAST_CHUNK, message } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions';
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const openai = (peer, more = {}) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m', 'org/model'], ...more });
const post = (fields, body) => message(`POST ${CHAT} HTTP/1.1`, { Host: 'x', ...fields }, body);
const event = (text) => chunk(`data: {"choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`);

scenario('models whose names hold a slash are found escaped, and Anthropic clients get request-id', async (s) => {
	const d = await s.daemon({ providers: { p: openai(await s.peer()) } });
	assert.equal((await s.request(d, { path: '/v1/models/org%2Fmodel' })).json.id, 'org/model');
	for (const path of ['/v1/models', '/v1/models/m']) {
		const reply = await s.request(d, { path, headers: { 'anthropic-version': '2023-06-01', Connection: 'close' } });
		assert.equal(reply.header('request-id'), reply.header('x-request-id'), path);
	}
});

scenario('a 200 that is no event stream passes though its first byte could begin one', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	for (const [type, body] of [['application/json', '\ufeff{"id":"x"}'], ['text/plain', 'internal text'], ['text/plain', 'error: none']]) {
		provider.serve(() => ({ headers: { 'Content-Type': type }, body }));
		const reply = await s.request(d, { path: CHAT, json: { model: 'm' } });
		assert.deepEqual([reply.status, reply.text], [200, body]);
	}
});

scenario('a client that does not read is let go after timeouts.send, however often there is more to send', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, timeouts: { send: 0.5 }, stream: { heartbeat: 0, buffer_bytes: 16777216 } });
	for (const trickle of [false, true]) {
		const socket = net.connect({ port: d.port, host: '127.0.0.1' });
		socket.on('error', () => {}).pause();
		socket.write(post({ 'X-Request-Id': `send-${trickle}` }, '{"model":"m","stream":true}'));
		const { conn } = await provider.request();
		await conn.send(streamHead());
		for (let n = 0; n < 200; n++)
			await conn.send(event('z'.repeat(60000)));
		const started = Date.now();
		while (!conn.ending && !conn.socket.destroyed) {
			if (trickle)
				await conn.send(event('x')).catch(() => {});
			await later(100);
			assert.ok(Date.now() - started < limit(3000), `trickle ${trickle}`);
		}
		assert.equal((await d.waitAccess(`send-${trickle}`)).end, 'timeout');
		socket.destroy();
	}
});

scenario('a reply that began before the body was done is not cut by timeouts.body', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) }, timeouts: { body: 0.4 }, stream: { heartbeat: 0 } });
	const client = await s.connect(d);
	await client.send(post({ 'Content-Length': 3000000 }, ''));
	await client.send(`{"model":"m","stream":true,"x":"${'y'.repeat(1100000)}`);
	const conn = await provider.accept();
	await conn.send(streamHead());
	for (let n = 0; n < 8; n++) {
		await conn.send(event(String(n)));
		await later(150);
	}
	await conn.send(Buffer.concat([chunk('data: [DONE]\n\n'), LAST_CHUNK]));
	const reply = await client.readReply();
	assert.equal(reply.cut, false);
	assert.match(reply.text, /"7".*\[DONE\]/s);
});

scenario('the access log says what was sent: nothing for HEAD, no status for a client that has gone, no query in the referer', async (s) => {
	const provider = await s.peer();
	const d = await s.daemon({ providers: { p: openai(provider) } });
	const head = await s.request(d, { method: 'HEAD', path: '/v1/models' });
	assert.equal((await d.waitAccess(head.header('x-request-id'))).bytes_out, 0);
	const client = await s.connect(d);
	await client.request({ path: CHAT, headers: { 'X-Request-Id': 'gone' }, json: { model: 'm' } });
	await provider.accept();
	client.destroy();
	const line = await d.waitAccess('gone');
	assert.deepEqual([line.status, line.end], [null, 'client_gone']);
	const text = await s.daemon({ access_log: { format: 'text' } , providers: { e: { dialect: 'echo', models: ['e'] } } });
	await s.request(text, { path: '/?a=secret1', headers: { Referer: 'https://h/p?key=secret2', Connection: 'close' } });
	await until(() => text.stdout.includes('GET / '), 'the line is there');
	assert.ok(!/secret/.test(text.stdout));
});

scenario('a header that the configuration sets is sent once', async (s) => {
	const provider = await s.peer();
	provider.serve(() => ({ body: '{}' }));
	const headers = { Authorization: 'Basic mine' };
	const d = await s.daemon({ providers: { p: openai(provider, { headers, api_key: 'sk' }), q: openai(provider, { models: ['q'], headers, credential: 'client' }) } });
	for (const model of ['m', 'q']) {
		await s.request(d, { path: CHAT, headers: { Authorization: 'Bearer c', Connection: 'close' }, json: { model } });
		assert.equal(provider.requests.at(-1).headers('authorization').length, 1, model);
	}
});
