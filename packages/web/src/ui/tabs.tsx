import { Link } from "@tanstack/react-router";

/** Tabs are links: the chosen one is in the URL. */
export function Tabs({ tabs, current }: { tabs: readonly { id: string; title: string }[]; current: string }) {
  return (
    <nav aria-label="Parts of this page" className="mb-4 flex gap-1 overflow-x-auto border-b border-line">
      {tabs.map(({ id, title }) => (
        <Link
          key={id}
          to="."
          search={id === tabs[0]?.id ? {} : { tab: id }}
          replace
          ref={id === current ? intoView : undefined}
          aria-current={id === current ? "page" : undefined}
          className={`-mb-px flex h-9 items-center border-b-2 px-3 font-medium whitespace-nowrap ${id === current ? "border-accent text-text" : "border-transparent text-soft hover:text-text"}`}
        >
          {title}
        </Link>
      ))}
    </nav>
  );
}

/** On a telephone the chosen one may be further to the right. */
const intoView = (element: HTMLElement | null) => element?.scrollIntoView({ inline: "nearest", block: "nearest" });
