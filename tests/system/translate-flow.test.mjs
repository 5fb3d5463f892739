// translate-flow: how a translated answer flows when something goes wrong on the way: what was said before a failure, errors
// whose body cannot be read, little input that becomes much, clients that leave, limits, signals.

import assert from 'node:assert/strict';
import { brotliCompressSync, constants, createGzip, gzipSync } from 'node:zlib';
import { PROVIDERS, dialects, provide, providersAt, wantsStream } from '../lib/dialects.mjs';
import { streamHead } from '../lib/peer.mjs';
import { scenario, underValgrind, until } from '../lib/scenario.mjs';
import { LAST_CHUNK, chunk, message } from '../lib/wire.mjs';

const CHAT = '/v1/chat/completions', COMPLETIONS = '/v1/completions', MESSAGES = '/v1/messages';
const OWN = { [CHAT]: 'openai', [COMPLETIONS]: 'openai', [MESSAGES]: 'anthropic' };
const PAIRS = Object.keys(OWN).flatMap((path) => PROVIDERS.filter((p) => p !== OWN[path]).map((provider) => [path, provider]));
const slowly = underValgrind || /\bsan/.test(process.env.API_ROUTER_BUILD ?? '');

const ask = (path, model, more = {}) => ({
	model, ...(path === COMPLETIONS ? { prompt: 'Hi' } : { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 50 }), ...more,
});
const ANSWER = { parts: [{ text: 'one two three four five six' }], usage: { input: 20, cached: 5, output: 9, reasoning: 4 } };
const CUT = (said) => said.match(/[\s\S]{1,5}/gu);

async function setup(s, config = {}) {
	const peer = await s.peer();
	const d = await s.daemon({ providers: providersAt(peer), ...config });
	return { peer, d, ask: (path, model, more, options) => s.request(d, { path, json: ask(path, model, more), ...options }) };
}
const streamOf = (path, provider, answer = ANSWER) => dialects[provider].stream(answer, provider, CUT, path === COMPLETIONS);
// Behind how many events of a stream its first text has come.
const firstText = (events) => events.findIndex((e) => e.includes('one t')) + 1;
const textOf = (path, reply) => reply.events.filter((e) => e.data !== '[DONE]').map((e) => JSON.parse(e.data))
	.map((e) => e.delta?.text ?? e.choices?.[0]?.delta?.content ?? e.choices?.[0]?.text ?? '').join('');

// A stream under way at a provider: what it sends is up to the test.
async function begin(s, { d, peer }, path, provider, headers = {}) {
	const events = streamOf(path, provider), n = firstText(events);
	let sender;
	peer.serve(async (request, conn) => {
		sender = conn;
		await conn.send(streamHead({ 'Content-Type': dialects[provider].type, ...headers }));
	});
	const client = await s.connect(d);
	await client.request({ path, json: ask(path, provider, { stream: true }) });
	await until(() => sender, 'the provider has the request');
	return { client, sender, events, n };
}

scenario('what came in one piece with a failure reaches the client before it', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS)
		for (const failure of [dialects[provider].midError(), provider === 'ollama' ? '{]\n' : 'data: {]\n\n', '']) {
			const { client, sender, events, n } = await begin(s, at, path, provider);
			await sender.send(chunk(events.slice(0, n).join('')));
			const reply = await client.readHead();
			await reply.until('one t');
			await sender.send(Buffer.concat([chunk(events.slice(n, n + 2).join('') + failure), LAST_CHUNK]));
			await reply.finish();
			assert.equal(textOf(path, reply), 'one two three f', `${path} ${provider} ${failure}`);
			assert.match(reply.events.at(-1).data, /"error"/);
			client.destroy();
		}
});

scenario('a provider that only says that it is still there: the client hears so too', async (s) => {
	const at = await setup(s, { stream: { heartbeat: 0.1 } });
	const idle = { openai: ': PROCESSING\n\n', anthropic: dialects.anthropic.event({ type: 'ping' }), gemini: ': x\n\n', ollama: '\n',
		cohere: dialects.cohere.event({ type: 'citation-end' }) };
	for (const [path, provider] of PAIRS) {
		const { client, sender, events, n } = await begin(s, at, path, provider);
		const beating = setInterval(() => sender.send(chunk(idle[provider])), 20);
		const reply = await client.readHead();
		if (path !== MESSAGES)
			await reply.until(': keep-alive\n');
		await sender.send(chunk(events.slice(0, n).join('')));
		await reply.until('one t');
		for (let i = 0; i < 2; i++)
			await reply.until(path === MESSAGES ? 'event: ping\n' : ': keep-alive\n');
		clearInterval(beating);
		await sender.send(Buffer.concat([chunk(events.slice(n).join('')), LAST_CHUNK]));
		await reply.finish();
		assert.equal(textOf(path, reply), ANSWER.parts[0].text);
		if (path === MESSAGES)
			assert.equal(reply.events[0].event, 'message_start');
		client.destroy();
	}
});

scenario('no ping before message_start, though counts have come', async (s) => {
	const at = await setup(s, { stream: { heartbeat: 0.05 } });
	const { client, sender, events } = await begin(s, at, MESSAGES, 'gemini');
	await sender.send(chunk('data: {"usageMetadata":{"promptTokenCount":5}}\r\n\r\n'));
	const reply = await client.readHead();
	assert.ok(await client.silent(200));
	await sender.send(Buffer.concat([chunk(events.join('')), LAST_CHUNK]));
	await reply.finish();
	assert.equal(reply.events[0].event, 'message_start');
});

scenario('an error keeps its status when its body breaks off, never ends or cannot be read', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS) {
		const { body } = dialects[provider].error(429, 'come later'), json = 'Content-Type: application/json\r\n';
		const coded = (coding, bytes) => message('HTTP/1.1 429 Too Many', { 'Content-Type': 'application/json', 'Content-Encoding': coding }, bytes);
		for (const [how, bytes, said] of [
			['cut', `HTTP/1.1 429 Too Many\r\n${json}Content-Length: 5000\r\n\r\n${body}`, /come later/],
			['endless', `HTTP/1.1 429 Too Many\r\n${json}Transfer-Encoding: chunked\r\n\r\n`, /./],
			['br', coded('br', brotliCompressSync(body)), /./],
			['broken', coded('gzip', Buffer.from(body)), /./],
			['truncated', coded('gzip', gzipSync(body).subarray(0, -4)), /come later/],
		]) {
			let gone = false;
			at.peer.serve(async (request, conn) => {
				await conn.send(bytes);
				if (how === 'endless') {
					const piece = chunk('x'.repeat(20000));
					while (!conn.ending && !conn.socket.destroyed)
						await Promise.race([conn.send(piece), new Promise((r) => setTimeout(r, 20))]);
					gone = true;
				}
				if (how === 'cut')
					conn.cut();
			});
			const reply = await at.ask(path, provider, { stream: true });
			assert.equal(reply.status, 429, `${path} ${provider} ${how}: ${reply.text}`);
			assert.match(reply.json.error.message, said, `${path} ${provider} ${how}`);
			if (how === 'endless')
				await until(() => gone, 'the provider is hung up on');
		}
	}
});

scenario('a coded stream whose answer is whole needs no end of its coding', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS)
		for (const how of ['end', 'cut']) {
			const { client, sender, events } = await begin(s, at, path, provider, { 'Content-Encoding': 'gzip' });
			await sender.send(chunk(gzipSync(events.join(''), { finishFlush: constants.Z_SYNC_FLUSH })));
			const reply = await client.readHead();
			if (how === 'end')
				await sender.send(LAST_CHUNK);
			else
				sender.cut();
			await reply.finish();
			assert.equal(reply.cut, false, `${path} ${provider} ${how}`);
			assert.equal(textOf(path, reply), ANSWER.parts[0].text);
			assert.ok(!reply.text.includes('"error"'), reply.text);
			client.destroy();
		}
});

// Zeros by the gigabyte would take long to make: the same piece again and again.
async function bomb(piece, count) {
	const gzip = createGzip(), parts = [];
	gzip.on('data', (data) => parts.push(data));
	for (let i = 0; i < count; i++)
		if (!gzip.write(piece))
			await new Promise((resolve) => gzip.once('drain', resolve));
	gzip.end();
	await new Promise((resolve) => gzip.on('end', resolve));
	return Buffer.concat(parts);
}

scenario('little that becomes much when it is decoded is refused in time', async (s) => {
	const at = await setup(s, { limits: { reply_bytes: 4 << 20, event_bytes: 1 << 20 } });
	const zeros = await bomb(Buffer.alloc(1 << 20), 64);
	for (const [path, provider] of [[CHAT, 'anthropic'], [CHAT, 'ollama'], [MESSAGES, 'openai'], [MESSAGES, 'gemini']]) {
		const d = dialects[provider], events = streamOf(path, provider), n = firstText(events);
		const many = await bomb(Buffer.from(events[n - 1].repeat(1000)), slowly ? 200 : 500);
		const before = at.d.pss();
		for (const [bytes, stream, status] of [[zeros, true, 200], [zeros, false, 200], [zeros, true, 500], [many, true, 200], [many, false, 200]]) {
			at.peer.serve(async (request, conn) => {
				await conn.send(message(`HTTP/1.1 ${status} OK`, { 'Content-Type': stream ? d.type : 'application/json', 'Content-Encoding': 'gzip' }, bytes));
			});
			const reply = await at.ask(path, provider, { stream });
			if (reply.status === 200)
				assert.ok(reply.text.includes('"error"') && reply.cut, `${path} ${provider}: it looks whole`);
			else
				assert.ok([500, 502].includes(reply.status), `${path} ${provider} ${stream} ${status}: ${reply.text}`);
			if (reply.status === 502 && status === 200 && bytes === zeros)
				assert.match(reply.json.error.message, /limits\.|read/);
		}
		assert.ok(slowly || at.d.pss() - before < 24 << 20, `the daemon grew by ${at.d.pss() - before} bytes`);
	}
});

scenario('a client that leaves: the provider is hung up on at once, and its tokens are known', async (s) => {
	const at = await setup(s);
	for (const [path, provider] of PAIRS)
		for (const when of ['before the head', 'before an event', 'in the middle']) {
			const events = streamOf(path, provider), n = firstText(events), id = `left-${path}-${provider}-${when}`.replaceAll(' ', '_');
			let sender;
			at.peer.serve(async (request, conn) => {
				if (when !== 'before the head')
					await conn.send(streamHead({ 'Content-Type': dialects[provider].type }));
				if (when === 'in the middle')
					await conn.send(chunk(events.slice(0, n).join('')));
				sender = conn;
			});
			const client = await s.connect(at.d);
			await client.request({ path, json: ask(path, provider, { stream: true }), headers: { 'x-request-id': id } });
			await until(() => sender, 'the provider has the request');
			if (when === 'in the middle')
				await (await client.readHead()).until('one t');
			client.reset();
			await sender.closed();
			const line = await at.d.waitAccess(id);
			assert.equal(line.end, 'client_gone', `${path} ${provider} ${when}`);
			assert.equal(line.status, when === 'in the middle' ? 200 : line.status);
			if (when === 'in the middle' && ['anthropic', 'gemini'].includes(provider))
				assert.equal(line.input_tokens, 15, `${path} ${provider}`);
		}
});

scenario('the end of an answer is told when it comes, though the provider goes on', async (s) => {
	const at = await setup(s);
	const end = { [CHAT]: 'data: [DONE]\n\n', [COMPLETIONS]: 'data: [DONE]\n\n', [MESSAGES]: '"message_stop"}\n\n' };
	for (const [path, provider] of PAIRS.filter(([, p]) => p !== 'gemini')) { // which has no marker
		const { client, sender, events } = await begin(s, at, path, provider);
		await sender.send(chunk(events.join('')));
		const reply = await client.readHead();
		assert.ok(await reply.until(end[path]), `${path} ${provider}`);
		await sender.send(chunk(provider === 'ollama' ? '\n' : ': more\n\n'));
		assert.ok(await client.silent(20));
		sender.reset(); // the answer is whole all the same
		await reply.finish();
		assert.equal(reply.cut, false, `${path} ${provider}`);
		assert.ok(reply.text.endsWith(end[path]));
		client.destroy();
	}
});

scenario('two streams of one worker, a byte of each in turn, do not mix', async (s) => {
	const at = await setup(s, { workers: 1 });
	const rows = [[CHAT, 'anthropic'], [MESSAGES, 'gemini'], [CHAT, 'cohere'], [MESSAGES, 'openai'], [COMPLETIONS, 'ollama']];
	const streams = [];
	for (const [path, provider] of rows) {
		const words = Array.from({ length: 12 }, (_, i) => `${provider}${i} `).join('');
		const answer = { ...ANSWER, parts: [{ text: words }, ...(path === COMPLETIONS ? [] : [{ call: { id: 'call_1', name: 'run', args: '{"a":"b"}' } }])] };
		const one = await begin(s, at, path, provider);
		streams.push({ ...one, path, provider, words, bytes: Buffer.from(streamOf(path, provider, answer).join('')) });
	}
	const longest = Math.max(...streams.map((one) => one.bytes.length)), step = slowly ? 7 : 3;
	for (let i = 0; i < longest; i += step) {
		await Promise.all(streams.map((one) => i < one.bytes.length && one.sender.send(chunk(one.bytes.subarray(i, i + step)))));
		if (i % 60 === 0)
			await new Promise((resolve) => setImmediate(resolve));
	}
	for (const one of streams) {
		await one.sender.send(LAST_CHUNK);
		const reply = await one.client.readReply();
		assert.equal(textOf(one.path, reply), one.words, one.provider);
		assert.equal(reply.cut, false);
	}
});

scenario('one huge event, line or reply in small pieces is read in time', async (s) => {
	const at = await setup(s);
	const size = slowly ? 2 << 20 : 12 << 20, text = 'x'.repeat(size);
	for (const [path, provider] of PAIRS)
		for (const stream of [true, false]) {
			const answer = { ...ANSWER, parts: [{ text }] }, d = dialects[provider];
			at.peer.serve(async (request, conn) => {
				assert.equal(wantsStream(provider, request), stream);
				const bytes = Buffer.from(stream ? d.stream(answer, provider, undefined, path === COMPLETIONS).join('') : d.reply(answer, provider, path === COMPLETIONS));
				await conn.send(streamHead({ 'Content-Type': stream ? d.type : 'application/json' }));
				for (let i = 0; i < bytes.length; i += 65536)
					await conn.send(chunk(bytes.subarray(i, i + 65536)));
				await conn.send(LAST_CHUNK);
			});
			const began = Date.now(), reply = await at.ask(path, provider, { stream });
			assert.equal(reply.status, 200, reply.text.slice(0, 300));
			assert.ok(reply.text.includes(text), `${path} ${provider} ${stream}`);
			assert.ok(Date.now() - began < 5000, `${path} ${provider} ${stream}: ${Date.now() - began} ms`);
		}
});

scenario('limits of an answer: an event, a gathered stream, memory', async (s) => {
	const at = await setup(s, { limits: { event_bytes: 4096, reply_bytes: 65536, body_bytes: 4096 } });
	for (const [path, provider] of PAIRS) {
		// too large an event in a stream that has begun
		const { client, sender, events, n } = await begin(s, at, path, provider);
		await sender.send(chunk(events.slice(0, n).join('')));
		const reply = await client.readHead();
		await reply.until('one t');
		await sender.send(chunk(events[n].replace('wo th', 'y'.repeat(10000))));
		await reply.finish();
		assert.equal(reply.cut, true);
		assert.equal(textOf(path, reply), 'one t');
		assert.match(reply.events.at(-1).data, /limits\.event_bytes/, `${path} ${provider}`);
		client.destroy();
		// a stream that is gathered, event by event: more than an answer may hold
		at.peer.serve(async (request, conn) => {
			await conn.send(streamHead({ 'Content-Type': dialects[provider].type }));
			await conn.send(chunk(events.slice(0, n).join('')));
			for (let i = 0; i < 20; i++)
				await conn.send(chunk(events[n].repeat(500)));
			await conn.send(LAST_CHUNK);
		});
		const whole = await at.ask(path, provider);
		assert.equal(whole.status, 502, `${path} ${provider}: ${whole.text.slice(0, 300)}`);
	}
	const little = await setup(s, { limits: { memory: 3 << 20 } });
	for (const [path, provider] of PAIRS) {
		little.peer.serve(async (request, conn) => {
			await conn.send(streamHead({ 'Content-Type': dialects[provider].type }));
			const [first] = streamOf(path, provider);
			await conn.send(chunk(`${first.slice(0, 40)}${' '.repeat(6 << 20)}`));
		});
		const reply = await little.ask(path, provider, { stream: true });
		assert.equal(reply.status, path === MESSAGES ? 529 : 503, `${path} ${provider}: ${reply.text}`);
		provide(little.peer, () => ANSWER, { cut: CUT });
		assert.equal((await little.ask(path, provider, { stream: true })).status, 200, 'the worker goes on');
	}
});

scenario('an answer before the body was read, Expect, and connections that are used again', async (s) => {
	const at = await setup(s);
	const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(8 << 20)}` } };
	at.peer.serve(() => ({ status: 413, headers: { Connection: 'close' }, body: dialects.anthropic.error(413, 'too much').body }));
	const early = await s.peer();
	const d2 = await s.daemon({ providers: providersAt(early) });
	const asking = s.request(d2, { path: CHAT, json: ask(CHAT, 'anthropic', { messages: [{ role: 'user', content: [image] }] }) });
	const conn = await early.accept();
	await conn.readUntil('\r\n\r\n');
	conn.pause();
	await conn.send(message('HTTP/1.1 413 Too Large', { 'Content-Type': 'application/json' }, dialects.anthropic.error(413, 'too much').body));
	const reply = await asking;
	assert.equal(reply.status, 413, reply.text);
	assert.match(reply.json.error.message, /too much/);
	conn.resume();

	provide(at.peer, () => ANSWER, { cut: CUT });
	const client = await s.connect(at.d);
	const body = JSON.stringify(ask(CHAT, 'anthropic', { stream: true }));
	await client.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
	await client.readUntil('HTTP/1.1 100 Continue\r\n\r\n');
	await client.send(body);
	assert.equal(textOf(CHAT, await client.readReply()), ANSWER.parts[0].text);
	for (const json of [{}, { stream: true }, {}])
		assert.equal((await client.exchange({ path: CHAT, json: ask(CHAT, 'anthropic', json) })).status, 200);
	assert.equal(at.peer.connections.length, 1);
});

scenario('streams go on through a reload, and are ended by a stop that waits for them', async (s) => {
	const at = await setup(s);
	const running = [];
	for (const [path, provider] of [[CHAT, 'anthropic'], [MESSAGES, 'ollama']]) {
		const one = await begin(s, at, path, provider);
		await one.sender.send(chunk(one.events.slice(0, one.n).join('')));
		const reply = await one.client.readHead();
		await reply.until('one t');
		running.push({ ...one, reply, path });
	}
	at.d.signal('SIGHUP');
	await at.d.waitLog(/generation 2/);
	const [first, second] = running;
	const finish = async ({ client, sender, events, n, reply, path }) => {
		await sender.send(Buffer.concat([chunk(events.slice(n).join('')), LAST_CHUNK]));
		await reply.finish();
		assert.deepEqual([textOf(path, reply), reply.cut], [ANSWER.parts[0].text, false]);
		client.destroy();
	};
	await finish(first);
	at.d.signal('SIGQUIT');
	await new Promise((resolve) => setTimeout(resolve, 100));
	await finish(second);
	assert.equal((await at.d.waitExit()).code, 0);
});
