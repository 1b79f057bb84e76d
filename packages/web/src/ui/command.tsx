import { useState } from "react";

/** A command to type, with a button that copies it. */
export function Command({ text }: { text: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      // No permission, or no TLS: the text can be selected.
    }
  };
  return (
    <span className="inline-flex max-w-full items-stretch justify-self-start rounded-md border border-line bg-ground text-left">
      <code className="min-w-0 px-2.5 py-1 font-mono whitespace-pre-wrap wrap-anywhere text-text">{text}</code>
      <button
        type="button"
        onClick={copy}
        className="min-h-7 min-w-14 border-l border-line px-2 text-xs text-soft hover:text-text"
        aria-label={`Copy: ${text}`}
      >
        {isCopied ? "copied" : "copy"}
      </button>
    </span>
  );
}
