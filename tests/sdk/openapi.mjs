// openapi: etc/openapi.yaml, and whether a reply of the daemon is what it says.
//
//	const reply = await ask(s, daemon, { path: '/v1/embeddings', json: {…} }, { status: 200 });
//
// The operation is found by path and method, the response in it by status, the schema by the type of the content.
// Then every header field that the document requires must be there, every one that it names must be valid, none of
// the router's own may be there unnamed, and the body must be valid; of an event stream the data of each event.
// The document allows what a provider sends, where it is passed on as it came, under the schema FromProvider: unless
// `provider` is true, nothing is valid under it here, so that the router's own replies are held to what is theirs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(resolve(process.env.API_ROUTER_SDK ?? resolve(root, 'build/sdk'), 'package.json'));
const Ajv = require('ajv/dist/2020').default;
const addFormats = require('ajv-formats').default;
const { Validator } = await import(pathToFileURL(require.resolve('@seriousme/openapi-schema-validator')));

export const source = (path) => readFileSync(resolve(root, path), 'utf8');
export const document = require('yaml').parse(source('etc/openapi.yaml'));

export const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];
export const operationsOf = (item) => Object.entries(item).filter(([name]) => METHODS.includes(name));

// What the specification's own schema of a document says against ours.
export async function faultsOfDocument() {
	const { valid, errors } = await new Validator().validate(structuredClone(document));
	return valid ? [] : errors;
}

// ---- references and schemas

const pointer = (steps) => `#/${steps.map((s) => String(s).replace(/~/g, '~0').replace(/\//g, '~1')).join('/')}`;
const stepsOf = (ref) => ref.slice(2).split('/').map((s) => s.replace(/~1/g, '/').replace(/~0/g, '~'));
export const at = (steps) => steps.reduce((value, step) => value?.[step], document);

// The steps to where a thing really stands: behind its $ref, when it is one.
function follow(steps) {
	const ref = at(steps)?.$ref;
	return ref ? follow(stepsOf(ref)) : steps;
}

// Every value in the document, each with the steps that lead to it.
export function* walk(value = document, steps = []) {
	yield [value, steps];
	if (value !== null && typeof value === 'object')
		for (const [name, inner] of Object.entries(value))
			yield* walk(inner, [...steps, name]);
}

// With and without what is a provider's; each has the components' schemas, and compiles others as they are asked for.
const validators = [false, true].map((provider) => {
	const ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allowUnionTypes: true });
	addFormats(ajv);
	ajv.addKeyword('components');
	const schemas = provider ? document.components.schemas : { ...document.components.schemas, FromProvider: false };
	ajv.addSchema({ components: { schemas } }, 'api');
	return { ajv, compiled: new Map() };
});

function validatorAt(steps, { ajv, compiled }) {
	const place = pointer(steps);
	if (!compiled.has(place)) {
		assert.notEqual(at(steps), undefined, `no schema at ${place}`);
		const text = JSON.stringify(at(steps)).replaceAll('"#/components/', '"api#/components/');
		compiled.set(place, ajv.compile(JSON.parse(text)));
	}
	return compiled.get(place);
}

// What is wrong with the value under the schema that stands there; '' when nothing is.
export function faultOf(steps, value, { provider = false } = {}) {
	const validator = validators[Number(provider)];
	const validate = validatorAt(steps, validator);
	return validate(value) ? '' : validator.ajv.errorsText(validate.errors, { dataVar: 'it' });
}

// ---- finding what the document says

// The item of a path as clients write it, or undefined.
export function pathOf(target) {
	const path = target.split('?')[0];
	const found = Object.keys(document.paths).filter((template) =>
		new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '.+')}$`).test(path));
	return found.find((template) => template === path) ?? found[0];
}

const isAnthropic = (target) => /^\/v1\/messages(?![^/?])/.test(target);

// The steps to the response. A path that is not in the document has the 404 of its dialect; a method that is not has
// the 405 of its path.
function responseOf(method, target, status) {
	const path = pathOf(target);
	if (!path) {
		assert.equal(status, 404, `${target} is not in the document`);
		return ['components', 'responses', isAnthropic(target) ? 'AnthropicNotFound' : 'NotFound'];
	}
	const item = document.paths[path];
	const known = item[method.toLowerCase()] !== undefined;
	const steps = ['paths', path, known ? method.toLowerCase() : operationsOf(item).find(([name]) => name !== 'options')[0], 'responses'];
	assert.ok(known || status >= 400, `${method} ${target} is not in the document, and its status is ${status}`);
	const named = at(steps)[status] ? String(status) : 'default';
	assert.ok(at(steps)[named], `${method} ${path} has no ${status} in the document`);
	return follow([...steps, named]);
}

const essence = (type) => type.split(';')[0].trim().toLowerCase();

// The key of the content that fits the type: itself, without its parameters, `type/*`, `*/*`.
function contentOf(steps, type) {
	const content = at(steps).content ?? {};
	const plain = essence(type);
	const found = [type.toLowerCase(), plain, `${plain.split('/')[0]}/*`, '*/*'].find((name) => content[name]);
	assert.ok(found, `${pointer(steps)} has no ${type}`);
	return [...steps, 'content', found];
}

// ---- checks

// Header fields are text; the schema says whether they are numbers.
function checkHeader(steps, name, values, provider) {
	assert.equal(values.length, 1, `${name} stands ${values.length} times`);
	const [value] = values;
	const fault = faultOf([...steps, 'schema'], value, { provider });
	const asNumber = /^-?\d+$/.test(value) ? faultOf([...steps, 'schema'], Number(value), { provider }) : fault;
	assert.ok(!fault || !asNumber, `${name}: ${value}: ${fault}`);
}

function checkHeaders(response, reply, provider, required) {
	const named = at(response).headers ?? {};
	for (const [name, header] of Object.entries(named)) {
		const steps = follow([...response, 'headers', name]);
		const values = reply.headers(name);
		if (at(steps).required || required.includes(name))
			assert.ok(values.length > 0, `${pointer(response)}: ${name} is missing`);
		if (values.length > 0)
			checkHeader(steps, name, values, provider);
		assert.ok(header);
	}
	const own = new Set([...walk()].flatMap(([, steps]) => (steps.at(-2) === 'headers' && steps[0] !== 'components' ? [steps.at(-1)] : [])));
	for (const name of reply.names)
		assert.ok(!own.has(name) || named[name] || provider, `${pointer(response)} does not name ${name}`);
	for (const name of required)
		assert.ok(named[name], `${pointer(response)} does not name ${name}`);
}

function checkEvents(media, reply, provider) {
	const list = reply.events;
	assert.ok(list.length > 0, 'a stream has events');
	for (const { data } of list) {
		const value = data === '[DONE]' ? data : JSON.parse(data);
		assert.equal(faultOf([...media, 'x-event-data'], value, { provider }), '', data);
	}
}

function checkBody(response, reply, provider) {
	const type = reply.header('content-type');
	if (!at(response).content) {
		assert.equal(reply.body.length, 0, 'no body is described');
		return;
	}
	const media = contentOf(response, type);
	if (at(media)['x-event-data']) {
		checkEvents(media, reply, provider);
	} else if (at(media).schema) {
		const value = essence(type) === 'application/json' ? reply.json : reply.text;
		assert.equal(faultOf([...media, 'schema'], value, { provider }), '', reply.text);
	}
}

// What was accepted must be what the document wants.
function checkRequest(request, status) {
	const path = pathOf(request.path);
	const json = ['paths', path, 'post', 'requestBody', 'content', 'application/json', 'schema'];
	if (request.json !== undefined && status < 300 && at(json))
		assert.equal(faultOf(json, request.json), '', JSON.stringify(request.json));
}

// Every response of the router's own that was met: 'post /v1/messages 404'.
export const met = new Set();

// Is the reply what the document says? `provider`: it is passed on from a provider as it came; `required`: header
// fields that must be there beside those that always must.
export function assertDescribed(request, reply, { provider = false, required = [] } = {}) {
	const { path, method = request.json === undefined && request.body === undefined ? 'GET' : 'POST' } = request;
	try {
		const response = responseOf(method, path, reply.status);
		checkHeaders(response, reply, provider, required);
		if (method !== 'HEAD')
			checkBody(response, reply, provider);
		if (isAnthropic(path) && reply.status !== 503)
			assert.equal(reply.header('request-id'), reply.header('x-request-id'));
		if (isAnthropic(path) && reply.status >= 400 && !provider && method !== 'HEAD')
			assert.equal(reply.json.request_id, reply.header('request-id'));
		if (pathOf(path) && request.json !== undefined)
			checkRequest(request, reply.status);
	} catch (error) {
		error.message = `${method} ${path.slice(0, 100)}, ${reply.status}: ${error.message}`;
		throw error;
	}
	if (!provider)
		met.add(`${method.toLowerCase()} ${pathOf(path) ?? 'unknown'} ${reply.status}`);
	return reply;
}

// Send a request, and see that the status and all of the reply are as described. `raw`: its bytes, from which nothing
// is looked at; path and method stand beside it.
export async function ask(s, daemon, request, { status = 200, ...options } = {}) {
	const client = await s.connect(daemon);
	if (request.raw !== undefined)
		await client.send(Buffer.from(request.raw, 'latin1'));
	else
		await client.request({ ...request, headers: { Connection: 'close', ...request.headers } });
	const method = request.method ?? (request.json === undefined && request.body === undefined && request.raw === undefined ? 'GET' : 'POST');
	const reply = await client.readReply({ method });
	assert.equal(reply.status, status, `${method} ${request.path.slice(0, 100)}: ${reply.text}`);
	assertDescribed({ ...request, method }, reply, options);
	client.destroy();
	return reply;
}

// The daemon knows a path, with the methods that the document has for it and with no other.
export async function assertKnown(s, daemon, path) {
	const target = path.replace('{id}', 'm');
	const described = operationsOf(document.paths[path]).map(([name]) => name.toUpperCase()).sort();
	const options = await ask(s, daemon, { method: 'OPTIONS', path: target }, { status: 204 });
	assert.deepEqual(options.header('allow').split(', ').sort(), described, path);
	for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']) {
		const request = { method, path: target, headers: { 'Content-Length': '0', Connection: 'close' } };
		const reply = await s.request(daemon, request);
		assertDescribed(request, reply);
		if (described.includes(method))
			assert.ok(![404, 405].includes(reply.status), `${method} ${path}: ${reply.status}`);
		else
			assert.deepEqual([reply.status, reply.header('allow')], [405, options.header('allow')], `${method} ${path}`);
	}
}
