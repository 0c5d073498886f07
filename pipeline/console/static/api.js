// The console's server as the pages call it: JSON in, JSON out, errors as ApiError.

export class ApiError extends Error {
  /** `code`: the server's word for it, or "unreachable"; `body`: the whole answer, where it was JSON. */
  constructor(status, code, message, body = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.field = body?.error?.field ?? null;
    this.body = body;
  }
}

export class Api {
  /** `onSignedOut` is called where the server no longer knows this session. */
  constructor(onSignedOut = () => {}) {
    this.csrf = null;
    this.onSignedOut = onSignedOut;
  }

  /** GET; `query`: values of null, "" and [] are left out, a list is repeated. */
  get(path, query = {}, options = {}) {
    return this.#call("GET", path + queryText(query), undefined, options);
  }

  post(path, body = {}, options = {}) {
    return this.#call("POST", path, body, options);
  }

  del(path, options = {}) {
    return this.#call("DELETE", path, undefined, options);
  }

  /** POST of a FormData, as multipart. */
  upload(path, form, options = {}) {
    return this.#call("POST", path, form, options);
  }

  /** POST whose answer is a file: {blob, name}. */
  async download(path, body = {}, options = {}) {
    const answer = await this.#fetch("POST", path, body, options);
    const named = /filename\*?=(?:UTF-8'')?"?([^";]+)/i.exec(
      answer.headers.get("content-disposition") ?? "",
    );
    return { blob: await answer.blob(), name: named ? decodeURIComponent(named[1]) : "download" };
  }

  async #call(method, path, body, options) {
    const answer = await this.#fetch(method, path, body, options);
    return answer.status === 204 ? null : answer.json();
  }

  async #fetch(method, path, body, { signal, quiet = false } = {}) {
    const headers = { Accept: "application/json" };
    if (method !== "GET" && this.csrf) headers["X-CSRF-Token"] = this.csrf;
    const isForm = body instanceof FormData;
    if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, {
        method,
        headers,
        body: body === undefined || isForm ? body : JSON.stringify(body),
        credentials: "same-origin",
        cache: "no-store",
        signal,
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "unreachable", "");
    }
    if (answer.ok) return answer;
    const told = await answer.json().catch(() => null);
    if (answer.status === 401 && !quiet) this.onSignedOut();
    throw new ApiError(
      answer.status,
      told?.error?.code ?? `http_${answer.status}`,
      told?.error?.message ?? answer.statusText,
      told,
    );
  }
}

/** `?a=1&b=2&b=3` of {a: 1, b: [2, 3]}; what says nothing is left out. */
export function queryText(query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") parameters.append(name, String(one));
    }
  }
  const text = parameters.toString();
  return text && `?${text}`;
}
