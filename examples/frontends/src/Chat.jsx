import { useEffect, useRef, useState } from "react";
import Realtime from "aiohttp-realtime";

export default function Chat() {
  const session = useRef(null);
  const [lines, setLines] = useState([]);
  useEffect(() => {
    const opened = (session.current = new Realtime(`${import.meta.env.VITE_SERVER}/realtime/chat`, { reopen: true }));
    opened.onmessage = ({ data }) => setLines((before) => [...before, data]);
    return () => opened.close();
  }, []);

  function say(event) {
    event.preventDefault();
    session.current.send(event.target.elements.text.value);
    event.target.reset();
  }
  return <><form onSubmit={say}><input name="text" /></form>{lines.map((line, i) => <p key={i}>{line}</p>)}</>;
}
