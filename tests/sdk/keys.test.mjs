// keys: the vendors' SDKs with a client key of ours: each sends it in its own way, and raises the class of error that
// its users know.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { scenario, until } from '../lib/scenario.mjs';
import { ANTHROPIC, OPENAI, collect, failure } from './sdk.mjs';

const KEY = 'ar-AliceAliceAliceAliceAliceAliceAliceAlice01';
const client = (key, more) => ({ key: `sha256:${createHash('sha256').update(key).digest('hex')}`, ...more });
const messages = [{ role: 'user', content: 'one two' }];

// A daemon with one client, who may use `echo` and the models of a provider that keeps what it was sent.
async function daemonWithClient(s, more = {}) {
	const provider = await s.peer();
	const daemon = await s.daemon({
		providers: {
			echo: { dialect: 'echo', models: ['echo', 'secret'] },
			openai: { dialect: 'openai', base_url: `${provider.url}/v1`, models: ['m'], credential: 'client-or-provider', api_key: 'sk-ours' },
			anthropic: { dialect: 'anthropic', base_url: provider.url, models: ['c'], credential: 'client-or-provider', api_key: 'sk-ours' },
		},
		clients: { alice: client(KEY, { models: ['echo', 'm', 'c'], ...more }) },
	});
	return { daemon, provider };
}
// The provider got its own key, and nothing of the client's.
function assertOurs(provider) {
	const request = provider.requests.at(-1);
	const credentials = ['authorization', 'x-api-key', 'api-key'].flatMap((name) => request.headers(name)).join();
	assert.match(credentials, /^(Bearer )?sk-ours$/);
	assert.ok(!(request.head.toString('latin1') + request.text).includes(KEY));
}
// The statuses on a path, once two of them are 200.
async function linesOf(daemon, path) {
	const statuses = () => daemon.access.filter((l) => l.path === path).map((l) => l.status);
	await until(() => statuses().filter((status) => status === 200).length === 2, 'both requests are in the access log');
	return statuses();
}
// The second request was refused once and came again when it was told to; unless two seconds had passed by themselves.
function assertWaited(statuses, ms) {
	if (statuses.includes(429))
		assert.deepEqual([statuses, ms >= 1000], [[200, 429, 200], true]);
}

for (const [sdk, OpenAI] of OPENAI) {
	const make = (daemon, more = {}) => new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: KEY, maxRetries: 0, ...more });
	const chat = (ai, model = 'echo', more = {}) => ai.chat.completions.create({ model, messages, ...more });

	scenario(`${sdk}: a client key works, and is not passed on`, async (s) => {
		const { daemon, provider } = await daemonWithClient(s);
		const ai = make(daemon);
		assert.equal((await chat(ai)).choices[0].message.content, 'one two');
		const chunks = await collect(await chat(ai, 'echo', { stream: true }));
		assert.equal(chunks.map((c) => c.choices[0]?.delta.content ?? '').join(''), 'one two');
		assert.deepEqual((await collect(ai.models.list())).map((m) => m.id), ['echo', 'm', 'c']);
		assert.ok(await failure(ai.models.retrieve('secret')) instanceof OpenAI.NotFoundError);
		provider.serve(() => ({ body: { id: 'x', object: 'chat.completion', choices: [] } }));
		assert.equal((await chat(ai, 'm')).id, 'x');
		assertOurs(provider);
		assert.equal((await daemon.waitAccess((l) => l.model === 'm')).client, 'alice');
	});

	scenario(`${sdk}: the Azure client sends its key as api-key`, async (s) => {
		const { daemon } = await daemonWithClient(s);
		const ai = new OpenAI.AzureOpenAI({ baseURL: `${daemon.url}/v1`, apiKey: KEY, apiVersion: '2024-10-21', maxRetries: 0 });
		assert.deepEqual((await collect(ai.models.list())).map((m) => m.id), ['echo', 'm', 'c']);
		assert.equal((await daemon.waitAccess((l) => l.status === 200)).client, 'alice');
	});

	scenario(`${sdk}: a wrong key, a model that is not his, a limit`, async (s) => {
		const { daemon } = await daemonWithClient(s, { rate_limit: { requests_per_minute: 60, burst: 1 } });
		for (const apiKey of ['sk-nobody', KEY.slice(0, -1), `${KEY}x`]) {
			const wrong = await failure(chat(make(daemon, { apiKey })));
			assert.ok(wrong instanceof OpenAI.AuthenticationError, String(wrong));
			assert.equal(wrong.code, 'invalid_api_key');
			assert.ok(await failure(collect(make(daemon, { apiKey }).models.list())) instanceof OpenAI.AuthenticationError);
		}
		const forbidden = await failure(chat(make(daemon), 'secret', { stream: true }));
		assert.ok(forbidden instanceof OpenAI.PermissionDeniedError, String(forbidden));
		assert.equal(forbidden.param, 'model');

		// One at once, then one a second: the first of these may follow another at the same limit.
		const all = await Promise.allSettled(Array.from({ length: 4 }, () => chat(make(daemon))));
		const limited = all.filter((r) => r.status === 'rejected').map((r) => r.reason);
		assert.ok(limited.length > 0);
		for (const error of limited) {
			assert.ok(error instanceof OpenAI.RateLimitError, String(error));
			assert.equal(error.code, 'rate_limit_exceeded');
			assert.equal(error.headers.get?.('x-ratelimit-limit-requests') ?? error.headers['x-ratelimit-limit-requests'], '60');
		}
	});

	scenario(`${sdk}: the SDK waits as long as the router says, and is admitted then`, async (s) => {
		const { daemon } = await daemonWithClient(s, { rate_limit: { requests_per_minute: 30, burst: 1 } });
		const ai = make(daemon, { maxRetries: 1 });
		assert.equal((await chat(ai)).choices[0].message.content, 'one two');
		const start = Date.now();
		assert.equal((await chat(ai)).choices[0].message.content, 'one two');
		assertWaited(await linesOf(daemon, '/v1/chat/completions'), Date.now() - start);
	});
}

for (const [sdk, Anthropic] of ANTHROPIC) {
	const make = (daemon, more = {}) => new Anthropic({ baseURL: daemon.url, apiKey: KEY, maxRetries: 0, ...more });
	const ask = (ai, model = 'echo', more = {}) => ai.messages.create({ model, max_tokens: 50, messages, ...more });
	// As x-api-key, and as Authorization: Bearer.
	const ways = (key) => [{ apiKey: key }, { apiKey: null, authToken: key }];

	scenario(`${sdk}: a client key works in both of its ways, and is not passed on`, async (s) => {
		const { daemon, provider } = await daemonWithClient(s);
		provider.serve(() => ({ body: { id: 'msg_1', type: 'message', role: 'assistant', model: 'c', content: [], stop_reason: 'end_turn', usage: { input_tokens: 1, output_tokens: 1 } } }));
		for (const way of ways(KEY)) {
			const ai = make(daemon, way);
			assert.equal((await ask(ai)).content[0].text, 'one two');
			const final = await ai.messages.stream({ model: 'echo', max_tokens: 50, messages }).finalMessage();
			assert.equal(final.content[0].text, 'one two');
			assert.deepEqual((await collect(ai.models.list())).map((m) => m.id), ['echo', 'm', 'c']);
			assert.ok(await failure(ai.models.retrieve('secret')) instanceof Anthropic.NotFoundError);
			assert.equal((await ask(ai, 'c')).id, 'msg_1');
			assertOurs(provider);
		}
		assert.equal((await daemon.waitAccess((l) => l.model === 'c')).client, 'alice');
	});

	scenario(`${sdk}: a wrong key, a model that is not his, a limit`, async (s) => {
		const { daemon } = await daemonWithClient(s, { rate_limit: { requests_per_minute: 60, burst: 1 } });
		for (const way of [...ways('sk-nobody'), ...ways(`${KEY}x`)]) {
			const wrong = await failure(ask(make(daemon, way)));
			assert.ok(wrong instanceof Anthropic.AuthenticationError, String(wrong));
			assert.equal(wrong.error.error.type, 'authentication_error');
			assert.equal(wrong.error.request_id, wrong.requestID);
			const listed = await failure(collect(make(daemon, way).models.list()));
			assert.ok(listed instanceof Anthropic.AuthenticationError, String(listed));
			assert.equal(listed.error.error.type, 'authentication_error');
		}
		const forbidden = await failure(ask(make(daemon), 'secret', { stream: true }));
		assert.ok(forbidden instanceof Anthropic.PermissionDeniedError, String(forbidden));
		assert.equal(forbidden.error.error.type, 'permission_error');
		const all = await Promise.allSettled(Array.from({ length: 4 }, () => ask(make(daemon))));
		const limited = all.filter((r) => r.status === 'rejected').map((r) => r.reason);
		assert.ok(limited.length > 0);
		for (const error of limited) {
			assert.ok(error instanceof Anthropic.RateLimitError, String(error));
			assert.equal(error.error.error.type, 'rate_limit_error');
		}
	});

	scenario(`${sdk}: the SDK waits as long as the router says, and is admitted then`, async (s) => {
		const { daemon } = await daemonWithClient(s, { rate_limit: { requests_per_minute: 30, burst: 1 } });
		const ai = make(daemon, { maxRetries: 1 });
		assert.equal((await ask(ai)).content[0].text, 'one two');
		const start = Date.now();
		assert.equal((await ask(ai)).content[0].text, 'one two');
		assertWaited(await linesOf(daemon, '/v1/messages'), Date.now() - start);
	});
}
