// Every place of the navigation, in its order; `go` is the second key after "g".
interface Place {
  readonly to: string;
  readonly title: string;
  readonly go: string;
  readonly icon: string;
  readonly group: "Now" | "Record" | "Setup";
}

export const places = [
  { to: "/", title: "Overview", go: "o", group: "Now", icon: "M2 2h5v6H2zM9 2h5v3H9zM9 7h5v7H9zM2 10h5v4H2z" },
  { to: "/nodes", title: "Nodes", go: "n", group: "Now", icon: "M2 3h12v4H2zM2 9h12v4H2zM4.5 5h.01M4.5 11h.01" },
  { to: "/workloads", title: "Workloads", go: "w", group: "Now", icon: "M8 1.5 14 5v6l-6 3.5L2 11V5zM2 5l6 3.5L14 5M8 8.5v6" },
  { to: "/migrations", title: "Migrations", go: "m", group: "Now", icon: "M2 5h10M9 2l3 3-3 3M14 11H4M7 8l-3 3 3 3" },
  { to: "/drills", title: "Drills", go: "d", group: "Now", icon: "M8 1.5v3M8 8l3-3M14 8a6 6 0 1 1-3-5.2" },
  { to: "/risk", title: "Risk", go: "r", group: "Now", icon: "M2 13 6 7l3 3 5-7M2 14h12" },
  { to: "/decisions", title: "Decisions", go: "i", group: "Record", icon: "M8 2v4M8 6 4 10v4M8 6l4 4v4" },
  {
    to: "/snapshots",
    title: "Snapshots",
    go: "s",
    group: "Record",
    icon: "M2 4h12v9H2zM5 4l1-2h4l1 2M8 11a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6",
  },
  { to: "/events", title: "Events", go: "e", group: "Record", icon: "M2 8h3l2-5 3 10 2-5h2" },
  { to: "/audit", title: "Audit", go: "a", group: "Record", icon: "M3 2h7l3 3v9H3zM6 8l1.5 1.5L11 6.5M6 12h5" },
  {
    to: "/savings",
    title: "Savings",
    go: "v",
    group: "Record",
    icon: "M8 1.5v13M11 4H6.5a2 2 0 0 0 0 4h3a2 2 0 0 1 0 4H4.5",
  },
  { to: "/policies", title: "Policies", go: "p", group: "Setup", icon: "M2 3h12M2 8h8M2 13h5M11 11l1.5 1.5L15 10" },
  { to: "/runbooks", title: "Runbooks", go: "b", group: "Setup", icon: "M3 2h10v12H3zM5.5 5.5l1 1 2-2M5.5 10l1 1 2-2M10 6h1M10 10.5h1" },
  {
    to: "/settings",
    title: "Settings",
    go: ",",
    group: "Setup",
    icon: "M2 4h7M13 4h1M2 8h2M8 8h6M2 12h8M14 12h0M11 2.5v3M6 6.5v3M12 10.5v3",
  },
] as const satisfies readonly Place[];
