// openapi-admitted: etc/openapi.yaml and real replies, where client keys, limits and listeners for the administrator decide, and where the body is
// a form.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { scenario } from '../lib/scenario.mjs';
import { ask, assertKnown, document } from './openapi.mjs';
import { sendStream } from './sdk.mjs';

const CHAT = '/v1/chat/completions';
const MESSAGES = '/v1/messages';
const ECHO = { echo: { dialect: 'echo', models: ['echo'] } };
const PLAIN = [{ address: '127.0.0.1', port: 0, admin: false }];
const json = { model: 'echo', max_tokens: 100, messages: [{ role: 'user', content: 'one two' }] };
const openai = (peer, more = {}) => ({ dialect: 'openai', base_url: `${peer.url}/v1`, models: ['m'], ...more });
const forms = Object.keys(document.paths).filter((path) => document.paths[path].post?.requestBody.content['multipart/form-data']);

const CLIENTS = { alice: { key: `sha256:${createHash('sha256').update('sk-alice').digest('hex')}`, models: ['echo'] } };

scenario('a client key: known, and good for the model', async (s) => {
	const daemon = await s.daemon({ providers: { ...ECHO, other: { dialect: 'echo', models: ['other'] } }, clients: CLIENTS });
	const fields = [...document.security.flatMap(Object.keys)].map((name) => {
		const scheme = document.components.securitySchemes[name];
		return scheme.type === 'http' ? ['Authorization', 'Bearer '] : [scheme.name, ''];
	});
	assert.equal(fields.length, 4);
	for (const [name, before] of fields) {
		for (const path of [CHAT, MESSAGES]) {
			await ask(s, daemon, { path, json, headers: { [name]: `${before}sk-alice` } });
			await ask(s, daemon, { path, json, headers: { [name]: `${before}sk-wrong` } }, { status: 401 });
			await ask(s, daemon, { path, json: { ...json, model: 'other' }, headers: { [name]: `${before}sk-alice` } }, { status: 403 });
		}
		const models = await ask(s, daemon, { path: '/v1/models', headers: { [name]: `${before}sk-alice` } });
		assert.deepEqual(models.json.data.map((m) => m.id), ['echo']);
	}
	await ask(s, daemon, { path: '/v1/models/other', headers: { 'api-key': 'sk-alice' } }, { status: 404 });
	await ask(s, daemon, { method: 'HEAD', path: '/v1/models' }, { status: 401 });
});

scenario('which paths need a key', async (s) => {
	const daemon = await s.daemon({ providers: ECHO, clients: CLIENTS, listen: PLAIN });
	for (const [path, item] of Object.entries(document.paths))
		for (const method of ['get', 'post', 'options'].filter((name) => item[name])) {
			const free = item[method].security?.length === 0;
			const target = path.replace('{id}', 'echo');
			const status = !free ? 401 : path === '/metrics' ? 404 : method === 'options' ? 204 : 200;
			const request = { method: method.toUpperCase(), path: target, ...(method === 'post' ? { json } : {}) };
			await ask(s, daemon, request, { status });
		}
});

scenario('a limit of the router', async (s) => {
	const required = ['retry-after', 'retry-after-ms', 'x-ratelimit-limit-requests', 'x-ratelimit-remaining-requests', 'x-ratelimit-reset-requests'];
	const daemon = await s.daemon({ providers: ECHO, rate_limit: { requests_per_minute: 1, burst: 1 } });
	for (const path of [CHAT, MESSAGES]) {
		await ask(s, daemon, { path, json });
		const reply = await ask(s, daemon, { path, json }, { status: 429, required });
		assert.ok(Number(reply.header('retry-after')) > 0 && Number(reply.header('retry-after')) <= 60);
		assert.equal(reply.header('x-ratelimit-remaining-requests'), '0');
	}
});

scenario('/metrics and the details of /health, where the listener is for the administrator', async (s) => {
	const daemon = await s.daemon({ providers: ECHO, rate_limit: { requests_per_minute: 60, burst: 10 } });
	for (const path of [CHAT, CHAT, MESSAGES])
		await ask(s, daemon, { path, json });
	const metrics = await ask(s, daemon, { path: '/metrics' });
	assert.match(metrics.header('content-type'), /^text\/plain; version=0\.0\.4/);
	for (const name of metrics.text.split('\n').filter((line) => line && !line.startsWith('#')))
		assert.match(name, /^api_router_/);
	await ask(s, daemon, { method: 'HEAD', path: '/metrics' });
	await assertKnown(s, daemon, '/metrics');
	const health = (await ask(s, daemon, { path: '/health' })).json;
	assert.deepEqual(Object.keys(health), ['status', 'version', 'workers', 'rateLimiter']);
	assert.equal(health.version, document.info.version);
	assert.deepEqual(health.rateLimiter, { activeBuckets: 2, routes: { [CHAT]: 1, [MESSAGES]: 1 } });

	const plain = await s.daemon({ providers: ECHO, listen: PLAIN });
	await ask(s, plain, { path: '/metrics' }, { status: 404 });
	await ask(s, plain, { method: 'HEAD', path: '/metrics' }, { status: 404 });
	assert.deepEqual((await ask(s, plain, { path: '/health' })).json, { status: 'ok' });
});

const FILE = Buffer.from(Array.from({ length: 4000 }, (_, n) => (n * 7) & 255));
const TYPE = { 'Content-Type': 'multipart/form-data; boundary=xyz' };
const form = (parts) => Buffer.concat([
	...parts.flatMap(([name, value]) => [
		Buffer.from(`--xyz\r\nContent-Disposition: form-data; name="${name}"${Buffer.isBuffer(value) ? '; filename="a"\r\nContent-Type: audio/wav' : ''}\r\n\r\n`),
		Buffer.from(value), Buffer.from('\r\n')]),
	Buffer.from('--xyz--\r\n')]);
const partOf = (path) => (path.startsWith('/v1/audio') ? 'file' : 'image');

scenario('a form is passed through, its model mapped', async (s) => {
	const provider = await s.peer();
	const daemon = await s.daemon({ providers: { p: openai(provider, { model_map: [{ from: 'mine', to: 'theirs' }], models: ['m', 'mine'] }) } });
	assert.equal(forms.length, 4);
	for (const path of forms) {
		await assertKnown(s, daemon, path);
		provider.serve(() => ({ body: path.startsWith('/v1/audio') ? { text: 'a' } : { created: 1790000000, data: [{ url: 'x' }] } }));
		for (const order of [['model', partOf(path)], [partOf(path), 'model']]) {
			const parts = (model) => form(order.map((name) => [name, name === 'model' ? model : FILE]));
			await ask(s, daemon, { path, headers: TYPE, body: parts('m') });
			assert.deepEqual(provider.requests.at(-1).body, parts('m'), path);
			assert.match(provider.requests.at(-1).header('content-type'), /^multipart\/form-data; *boundary="?xyz/);
			const reply = await ask(s, daemon, { path, headers: TYPE, body: parts('mine') }, { required: ['x-api-router-model'] });
			assert.equal(reply.header('x-api-router-model'), 'theirs');
			assert.deepEqual(provider.requests.at(-1).body, parts('theirs'), path);
		}
		await ask(s, daemon, { path, headers: TYPE, body: form([[partOf(path), FILE]]) }, { status: 400 });
		await ask(s, daemon, { path, headers: TYPE, body: form([['model', 'none'], [partOf(path), FILE]]) }, { status: 404 });
		provider.serve(() => ({ status: 429, body: '["no"]' }));
		await ask(s, daemon, { path, headers: TYPE, body: form([['model', 'm'], [partOf(path), FILE]]) }, { status: 429, provider: true });
	}
});

scenario('replies to a form that are no JSON', async (s) => {
	const provider = await s.peer();
	const daemon = await s.daemon({ providers: { p: openai(provider) } });
	const body = (path, more = []) => form([['model', 'm'], ...more, [partOf(path), FILE]]);
	for (const path of forms.filter((name) => name.startsWith('/v1/audio'))) {
		provider.serve(() => ({ headers: { 'Content-Type': 'text/plain; charset=utf-8' }, body: 'a\n' }));
		await ask(s, daemon, { path, headers: TYPE, body: body(path, [['response_format', 'text']]) });
	}
	for (const [path, list] of [
		['/v1/audio/transcriptions', [['transcript.text.delta', { type: 'transcript.text.delta', delta: 'a' }], ['transcript.text.done', { type: 'transcript.text.done', text: 'a' }]]],
		['/v1/images/edits', [['image_edit.completed', { type: 'image_edit.completed', b64_json: 'AAAA' }]]],
	]) {
		provider.serve((request, conn) => sendStream(conn, list));
		const reply = await ask(s, daemon, { path, headers: TYPE, body: body(path, [['stream', 'true']]) });
		assert.equal(reply.events.length, list.length);
	}
});
