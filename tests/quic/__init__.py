"""Tests of realtime.quic."""
